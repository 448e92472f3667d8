// Package cookie keeps things in the browser: logins under way, and, where there
// is to be no store on the server, whole sessions. What it writes is sealed. Applications use it by package tokenward
// (WithStatelessSessions), and need Wrap where they do without httpauth.
//
// A cookie that cannot be opened, because it was sealed by a later release or under
// a secret that is not known here, is as good as none for the call in hand, and is
// left as it is: during a rolling deploy it may be of another release.
package cookie
