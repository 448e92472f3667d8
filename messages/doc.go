// Package messages holds what the actors say to each other. What they share with
// callers is in internal/directory.
//
// Commands order (OpenSession, NeedToken), events report (SessionEnded). Each
// command's comment says how it is answered. A message is not changed once it was sent.
// None prints what it carries, for the actor library logs whole messages.
package messages
