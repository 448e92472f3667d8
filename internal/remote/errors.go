package remote

import "strings"

// PlainError has the text of an error, and nothing behind it.
type PlainError string

// Error implements error.
func (e PlainError) Error() string { return string(e) }

// ErrQuoting is said in place of an error that quotes a password.
const ErrQuoting = PlainError("an error whose text is left out, for it quotes the password")

// Quotes reports whether text has one of the passwords in it.
func Quotes(text string, passwords ...string) bool {
	for _, password := range passwords {
		if password != "" && strings.Contains(text, password) {
			return true
		}
	}
	return false
}
