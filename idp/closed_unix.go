//go:build unix && !aix && !solaris

package idp

import (
	"crypto/tls"
	"net"
	"syscall"
)

// closedByPeer reports whether the machine knows already that an idle HTTP/1 connection is of no
// more use, though the goroutine that reads from it may not have been told: after the process stood
// still, for example. It takes nothing from the connection. Of others than sockets it knows nothing.
func closedByPeer(conn net.Conn) bool {
	secure := false
	if t, ok := conn.(*tls.Conn); ok {
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			return false // other requests may be on it
		}
		secure, conn = true, t.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil:
			// TLS says that it closes (RFC 8446 section 6.1) before the connection ends.
			closed = n == 0 || secure
		case err != syscall.EAGAIN && err != syscall.EINTR:
			closed = true
		}
	})
	return closed && err == nil
}
