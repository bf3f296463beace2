package safedial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// Config bounds a Dialer. The zero value has a default for all.
type Config struct {
	// Allow lets addresses through that are refused otherwise, for development and tests.
	Allow []netip.Prefix
	// Resolver finds the addresses of names; nil means the system's.
	Resolver *net.Resolver
	// MaxTime bounds a connection's whole life, from its dial; zero means 10 s.
	MaxTime time.Duration
	// MaxBytes bounds what is read from a connection, headers and TLS included; zero means
	// 1 MiB.
	MaxBytes int64
}

func (c Config) withDefaults() Config {
	if c.MaxTime <= 0 {
		c.MaxTime = 10 * time.Second
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 20
	}
	return c
}

// Dialer dials addresses that customers gave.
type Dialer struct{ cfg Config }

// New returns a Dialer.
func New(cfg Config) *Dialer { return &Dialer{cfg: cfg.withDefaults()} }

// RefusedError says that an address may not be dialled. It holds nothing that a customer
// may not see.
type RefusedError struct {
	// Addr is the address that was about to be connected to.
	Addr netip.Addr
	// Why says what it is, such as `private`.
	Why string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("safedial: %s is refused: %s", e.Addr, e.Why)
}

// ErrNetwork says that a network other than TCP or UDP was asked for.
var ErrNetwork = errors.New("safedial: only tcp and udp are dialled")

// DialContext connects to address, as [net.Dialer.DialContext] does, unless it is refused
// with a [RefusedError]. The connection ends at the latest when Config.MaxTime passed, or
// when the deadline that ctx had did, and fails with [ErrTooMuch] when more than
// Config.MaxBytes are read.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return nil, ErrNetwork
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.MaxTime)
	defer cancel()
	dialer := &net.Dialer{Resolver: d.cfg.Resolver, Control: d.control}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("safedial: %w", err)
	}
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("safedial: %w", err)
	}
	return newLimited(conn, end, d.cfg.MaxBytes), nil
}

// control runs before a socket is connected, for every address that is tried.
func (d *Dialer) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("safedial: address to connect to: %w", err)
	}
	return d.check(ap.Addr())
}

func (d *Dialer) check(addr netip.Addr) error {
	addr = addr.WithZone("")
	for _, p := range d.cfg.Allow {
		if p.Contains(addr) || p.Contains(addr.Unmap()) {
			return nil
		}
	}
	if why, ok := zone.Proxiable(addr); !ok {
		return &RefusedError{Addr: addr, Why: why}
	}
	return nil
}
