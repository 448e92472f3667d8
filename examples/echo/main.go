// Command echo signs users in to an application on github.com/labstack/echo.
package main

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

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
	e := echo.New()
	e.Any("/auth/*", echo.WrapHandler(routes))
	own := e.Group("", echo.WrapMiddleware(web.Require), answerErrors)
	own.GET("/me", func(c echo.Context) error {
		user, err := auth.GetUser(c.Request().Context(), tokenward.StoreOptions{}) // the session of the request
		if err != nil {
			httpauth.WriteError(c.Response(), c.Request(), err)
			return nil
		}
		return c.String(http.StatusOK, fmt.Sprint(user["name"]))
	})
	own.GET("/token", func(c echo.Context) error {
		if _, err := auth.GetAccessToken(c.Request().Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{}); err != nil {
			httpauth.WriteError(c.Response(), c.Request(), err) // 401, or a page that leads to the login, where the user must sign in again
			return nil
		}
		return c.NoContent(http.StatusNoContent)
	})
	own.GET("/stream", func(c echo.Context) error {
		fmt.Fprint(c.Response(), "one")
		c.Response().Flush()
		fmt.Fprint(c.Response(), "two")
		return nil
	})
	own.GET("/raw", func(c echo.Context) error {
		conn, _, err := c.Response().Hijack()
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		return err
	})
	own.GET("/teapot", func(echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "a teapot") })
	own.POST("/change", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	return e, nil
}

// answerErrors has errors answered before Require returns: from then on its writer takes no header.
func answerErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := next(c); err != nil {
			c.Error(err)
		}
		return nil
	}
}
