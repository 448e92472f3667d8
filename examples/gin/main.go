// Command gin signs users in to an application on github.com/gin-gonic/gin.
package main

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/examples/internal/local"
	"github.com/tokenward/tokenward/httpauth"
)

func main() { local.Main(app) }

func app(auth *tokenward.Client, base string) (http.Handler, error) {
	web, err := httpauth.New(auth, base, httpauth.RefuseForgeries())
	if err != nil {
		return nil, err
	}
	routes, err := web.Handler()
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Any("/auth/*route", gin.WrapH(routes))
	own := r.Group("", wrap(web.Require))
	own.GET("/me", func(c *gin.Context) {
		user, err := auth.GetUser(c.Request.Context(), tokenward.StoreOptions{}) // the session of the request
		if err != nil {
			httpauth.WriteError(c.Writer, c.Request, err)
			return
		}
		c.String(http.StatusOK, "%v", user["name"])
	})
	own.GET("/token", func(c *gin.Context) {
		if _, err := auth.GetAccessToken(c.Request.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{}); err != nil {
			httpauth.WriteError(c.Writer, c.Request, err) // 401, or a page that leads to the login, where the user must sign in again
			return
		}
		c.Status(http.StatusNoContent)
	})
	own.GET("/stream", func(c *gin.Context) {
		fmt.Fprint(c.Writer, "one")
		c.Writer.Flush()
		fmt.Fprint(c.Writer, "two")
	})
	own.GET("/raw", func(c *gin.Context) {
		conn, _, err := c.Writer.Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	own.GET("/teapot", func(c *gin.Context) { c.JSON(http.StatusTeapot, gin.H{"error": "a teapot"}) })
	own.POST("/change", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	return r, nil
}
