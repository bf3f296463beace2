package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// ClientConfig says how to reach a cluster.
type ClientConfig struct {
	// Endpoints are the members' client URLs, such as https://etcd-1:2379 or
	// unix:///run/etcd.sock.
	Endpoints []string
	// CAFile, CertFile and KeyFile are PEM files. CAFile alone verifies the servers, whose
	// certificates must name the hosts of the endpoints; CertFile and KeyFile, always
	// together, identify the client.
	CAFile, CertFile, KeyFile string
	// Username turns on password authentication. The password comes from PasswordFile or,
	// where that is empty, from Password. The user needs leave to read and write all keys.
	Username, Password, PasswordFile string
	// DialTimeout bounds the first contact; zero means 5 s.
	DialTimeout time.Duration
	// Logger gets the client's warnings. Nil discards them.
	Logger *slog.Logger
}

// LogValue hides the password.
func (c ClientConfig) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("endpoints", c.Endpoints),
		slog.Bool("tls", c.secure()),
		slog.String("username", c.Username),
	)
}

// String hides the password.
func (c ClientConfig) String() string { return c.LogValue().String() }

func (c ClientConfig) secure() bool {
	for _, e := range c.Endpoints {
		if strings.HasPrefix(e, "https://") || strings.HasPrefix(e, "unixs://") {
			return true
		}
	}
	return c.CAFile != "" || c.CertFile != ""
}

// Sizes and times of a connection.
const (
	// sendLimit leaves room for the encoding of a transaction of registry.MaxRequestBytes.
	sendLimit = registry.MaxRequestBytes + requestSlack
	// requestSlack is what the encoding of the largest transaction can add to its keys and
	// values.
	requestSlack = 1 << 20

	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 5 * time.Second
	// readRetries times the client's 25 ms ride out a leader's election, after which a
	// read fails rather than hang.
	readRetries = 60
	// maxReconnect bounds the back-off after a lost connection. gRPC's own grows to two
	// minutes, long after a cluster is back.
	maxReconnect = 2 * time.Second
)

// Dial connects to a cluster and makes sure, with one linearizable read, that it answers
// and accepts the credentials. The caller closes the client.
func Dial(ctx context.Context, cfg ClientConfig) (*clientv3.Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("etcd: no endpoints")
	}
	password, err := cfg.password()
	if err != nil {
		return nil, err
	}
	var tlsConfig *tls.Config
	if cfg.secure() {
		if tlsConfig, err = cfg.tlsConfig(); err != nil {
			return nil, err
		}
	}
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = 5 * time.Second
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay = 100 * time.Millisecond
	reconnect.MaxDelay = maxReconnect
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            cfg.Endpoints,
		TLS:                  tlsConfig,
		Username:             cfg.Username,
		Password:             password,
		DialTimeout:          cfg.DialTimeout,
		DialKeepAliveTime:    keepAliveTime,
		DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize:   sendLimit,
		MaxUnaryRetries:      readRetries,
		Logger:               ZapLogger(cfg.Logger),
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: cfg.DialTimeout}),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	if _, err := client.Get(bounded, probeKey, clientv3.WithKeysOnly()); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("etcd: %s does not answer: %w", strings.Join(cfg.Endpoints, ", "), readError(ctx, err))
	}
	return client, nil
}

func (c ClientConfig) password() (string, error) {
	if c.PasswordFile == "" {
		return c.Password, nil
	}
	b, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("etcd: password file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (c ClientConfig) tlsConfig() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("etcd: CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("etcd: %s holds no certificate", c.CAFile)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("etcd: a client certificate needs both a certificate file and a key file")
	}
	if c.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			return nil, fmt.Errorf("etcd: client certificate: %w", err)
		}
		// Read again at each connection, so that a renewed certificate is taken up.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		}
	}
	return t, nil
}
