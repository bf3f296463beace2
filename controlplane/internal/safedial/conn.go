package safedial

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// ErrTooMuch says that the other side sent more than is read.
var ErrTooMuch = errors.New("safedial: the other side sent too much")

// limited is a connection that ends at a time and after a number of bytes. Deadlines can be
// moved only towards now.
type limited struct {
	net.Conn

	end  time.Time
	left atomic.Int64
}

func newLimited(conn net.Conn, end time.Time, maxBytes int64) *limited {
	c := &limited{Conn: conn, end: end}
	c.left.Store(maxBytes)
	return c
}

// Read implements [net.Conn].
func (c *limited) Read(b []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		return 0, ErrTooMuch
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// SetDeadline implements [net.Conn].
func (c *limited) SetDeadline(t time.Time) error { return c.Conn.SetDeadline(c.cap(t)) }

// SetReadDeadline implements [net.Conn].
func (c *limited) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.cap(t)) }

// SetWriteDeadline implements [net.Conn].
func (c *limited) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.cap(t)) }

func (c *limited) cap(t time.Time) time.Time {
	if t.IsZero() || t.After(c.end) {
		return c.end
	}
	return t
}
