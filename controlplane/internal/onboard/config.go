package onboard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config says whom a [Checker] asks and how long it waits.
type Config struct {
	// Resolvers are recursive resolvers, host:port, the first preferred. They are the
	// operator's choice and trusted. At least one.
	Resolvers []string
	// Timeout bounds one question over one transport; 2 s if zero.
	Timeout time.Duration
	// Attempts is how often one question is put to the resolvers, in turn; 3 if zero.
	Attempts int
	// Budget bounds a whole check or scan, however many questions it takes; 30 s if zero.
	Budget time.Duration
	// Dial connects to name servers that the DNS named, which a customer may control: give
	// it the dialer that refuses private addresses. A plain dialer if nil. Resolvers are
	// always dialled plainly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Endpoint is where the name server at an address listens; port 53 if nil. Development
	// and tests have other ports.
	Endpoint func(netip.Addr) string
	// ScanNames are the names below the domain at which [Checker.Scan] looks; a list of
	// common ones if nil.
	ScanNames []string
	// ScanConcurrency is how many questions a scan has in flight; 8 if zero.
	ScanConcurrency int
}

const (
	defaultTimeout     = 2 * time.Second
	defaultAttempts    = 3
	defaultBudget      = 30 * time.Second
	defaultConcurrency = 8
)

// Checker looks domains up.
type Checker struct {
	cfg Config
}

// New makes a Checker. It contacts nobody.
func New(cfg Config) (*Checker, error) {
	if len(cfg.Resolvers) == 0 {
		return nil, errors.New("onboard: no resolver is configured")
	}
	for _, r := range cfg.Resolvers {
		if _, _, err := net.SplitHostPort(r); err != nil {
			return nil, fmt.Errorf("onboard: resolver %q: %w", r, err)
		}
	}
	if cfg.Timeout < 0 || cfg.Attempts < 0 || cfg.Budget < 0 || cfg.ScanConcurrency < 0 {
		return nil, errors.New("onboard: times, attempts and concurrency can't be negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = defaultAttempts
	}
	if cfg.Budget == 0 {
		cfg.Budget = defaultBudget
	}
	if cfg.ScanConcurrency == 0 {
		cfg.ScanConcurrency = defaultConcurrency
	}
	if cfg.ScanNames == nil {
		cfg.ScanNames = commonNames()
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	if cfg.Endpoint == nil {
		cfg.Endpoint = func(a netip.Addr) string { return net.JoinHostPort(a.String(), "53") }
	}
	return &Checker{cfg: cfg}, nil
}
