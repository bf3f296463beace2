package connect

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// ReportsConfig says where reports go.
type ReportsConfig struct {
	// Addresses are the report listeners of all replicas, host:port.
	Addresses []string
	// TLS identifies the server: its certificate names the data center and the server.
	TLS Files
	// Clock times silence and pauses; nil means the real one.
	Clock clockwork.Clock
	// Random returns numbers in [0,1) that keep agents apart; nil means the runtime's. Dial
	// makes connections; nil means the network's, which asks no proxy.
	Random func() float64
	Dial   Dial
}

// Only the leader takes reports, and any replica may lead. With this policy each new
// stream goes to the next replica that is reachable, so an agent that is refused finds the
// leader with its next attempts.
const nextReplica = `{"loadBalancingConfig": [{"round_robin": {}}]}`

const (
	// A replica that is cut off does not close its connections: pings find it.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
	// connectWithin bounds one attempt once its turn came; retryAfter is the least pause
	// between two.
	connectWithin = 3 * time.Second
	retryAfter    = 50 * time.Millisecond
)

// OpenReports returns a connection to whichever replica is next. It connects when it is
// used.
func OpenReports(cfg ReportsConfig) (*grpc.ClientConn, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("connect: reports: no address")
	}
	files, err := cfg.TLS.config(tls.VersionTLS13)
	if err != nil {
		return nil, fmt.Errorf("connect: reports: %w", err)
	}
	attempts := newPace(cfg.Clock, cfg.Random, cfg.Dial, reportWindow, reportWindowMost)
	hints := &heed{clock: attempts.clock, random: attempts.random}
	replicas := manual.NewBuilderWithScheme("breakwater")
	state := resolver.State{}
	for _, a := range cfg.Addresses {
		// Each certificate is checked against the name of its own replica.
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: a, ServerName: hostOf(a)}},
		})
	}
	replicas.InitialState(state)
	conn, err := grpc.NewClient("breakwater:///reports", append(attempts.options(),
		grpc.WithResolvers(replicas),
		grpc.WithDefaultServiceConfig(nextReplica),
		grpc.WithTransportCredentials(credentials.NewTLS(files)),
		grpc.WithChainStreamInterceptor(hints.intercept, endSilent(attempts.clock)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect: reports: %w", err)
	}
	return conn, nil
}
