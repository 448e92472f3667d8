package main

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// wrap makes middleware of net/http, such as Require, one of gin's.
func wrap(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		outer, passed := c.Writer, false
		middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request, c.Writer = r, &writer{outer, w}
			c.Next()
		})).ServeHTTP(outer, c.Request)
		c.Writer = outer
		if !passed { // it has answered
			c.Abort()
		}
	}
}

// writer is gin's writer whose header and body pass through the middleware's, which sets cookies when the answer begins.
type writer struct {
	gin.ResponseWriter
	through http.ResponseWriter
}

// Write implements gin.ResponseWriter, as what follows does.
func (w *writer) Write(b []byte) (int, error)       { return w.through.Write(b) }
func (w *writer) WriteString(s string) (int, error) { return io.WriteString(w.through, s) }
func (w *writer) Unwrap() http.ResponseWriter       { return w.through }
func (w *writer) Flush()                            { _ = http.NewResponseController(w.through).Flush() }

func (w *writer) WriteHeaderNow() {
	w.through.WriteHeader(w.Status())
	w.ResponseWriter.WriteHeaderNow()
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.through).Hijack()
}
