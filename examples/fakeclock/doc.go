// Package fakeclock shows how an application is tested whose users are signed in: time is a clock that the test sets, and
// the provider is a fake one in the same process. It has tests only.
package fakeclock
