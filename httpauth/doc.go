// Package httpauth signs users in and out of a net/http server: handlers for login,
// callback, logout and back-channel logout, and middleware that says whose request
// it is. It works with http.ServeMux and with every router that takes an
// http.Handler.
package httpauth
