package connect

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
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
	// Clock times silence; nil means the real one.
	Clock clockwork.Clock
}

// Only the leader takes reports, and any replica may lead. With this policy each new
// stream goes to the next replica that is reachable, so an agent that is refused finds the
// leader with its next attempts.
const nextReplica = `{"loadBalancingConfig": [{"round_robin": {}}]}`

const (
	// A replica that is cut off does not close its connections: pings find it.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
	// connectWithin bounds one attempt, retryWithin the pause between two.
	connectWithin = 3 * time.Second
	retryWithin   = 2 * time.Second
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
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	replicas := manual.NewBuilderWithScheme("breakwater")
	state := resolver.State{}
	for _, a := range cfg.Addresses {
		// Each certificate is checked against the name of its own replica.
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: a, ServerName: hostOf(a)}},
		})
	}
	replicas.InitialState(state)
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, retryWithin
	conn, err := grpc.NewClient("breakwater:///reports",
		grpc.WithResolvers(replicas),
		grpc.WithDefaultServiceConfig(nextReplica),
		grpc.WithTransportCredentials(credentials.NewTLS(files)),
		grpc.WithStreamInterceptor(endSilent(cfg.Clock)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: connectWithin}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect: reports: %w", err)
	}
	return conn, nil
}
