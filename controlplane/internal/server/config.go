package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Config is everything that can be set. Start from [DevConfig] or [ServeConfig].
type Config struct {
	// Dev runs everything in one process, with simulated data centers and the controls to
	// hurt them.
	Dev bool
	// DataDir is where keys, tokens and the embedded etcd are kept.
	DataDir string
	// HTTP and GRPC are the addresses of the API's listeners; port 0 takes a free one.
	HTTP, GRPC string
	// Admin is the address of /metrics and gRPC reflection. In dev both are on the API's
	// listeners and Admin is empty.
	Admin string
	// Report is the address where edge servers report, over mutual TLS.
	Report string
	// BakeScale multiplies every bake and soak; zero turns them off.
	BakeScale float64

	// TLS of the API's listeners; plain text when empty, for a proxy before it.
	TLSCertFile, TLSKeyFile string
	// TLS of the report listener. In dev an authority in the data directory issues it.
	ReportCertFile, ReportKeyFile, ReportClientCAFile string

	// OperatorTokenFile holds the operators' tokens, one a line, with a name before each
	// where there are several; made with one at <data-dir>/operator.token.
	OperatorTokenFile string
	// SigningKeyFile holds the key that signs manifests; made at <data-dir>/keys.
	SigningKeyFile string
	// SealKeyFile holds the keys that seal secrets at rest; made at <data-dir>/keys.
	SealKeyFile string

	// Etcd is the registry's cluster; embedded when it has no endpoints. A development
	// server may have an external one without TLS and credentials; no flag says so.
	Etcd EtcdConfig
	// EdgeEtcd is the cluster of what data centers read; the registry's when it has no
	// endpoints.
	EdgeEtcd EtcdConfig
	// EtcdFast makes the embedded etcd start and elect fast and not sync, for tests.
	EtcdFast bool
	// PruneFast removes what nothing needs any more as soon as it may, for tests.
	PruneFast bool

	// DNSResolvers are asked for activation checks; those of the system when empty. In dev
	// a built-in server makes any *.test domain verify.
	DNSResolvers []string
	// NameServers is the pool from which pairs are assigned to sites.
	NameServers []string

	// OIDCIssuer and OIDCClientID say whose ID tokens are people's logins; none when empty.
	OIDCIssuer, OIDCClientID string
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []string

	// StatusFile is where the public status is written, signed; <data-dir>/status.json.
	StatusFile string

	// Stripe is how payments are taken. Without a key the built-in provider keeps them.
	Stripe StripeConfig
	// Mail is how letters are sent; as files in the data directory in dev, and not at all in
	// production without it.
	Mail MailConfig
	// Seller is who sells, as printed invoices have it.
	Seller string

	// FleetFile lists the data centers; the built-in list when empty.
	FleetFile string

	// OTLPEndpoint is where traces are sent; none when empty.
	OTLPEndpoint string
	// LogLevel is debug, info, warn or error; LogFormat is text or json.
	LogLevel, LogFormat string
	// WrapStore, if any, gets each cluster's store and returns what is used in its place, for
	// tests that look at every write.
	WrapStore func(registry.Store) registry.Store
	// Logger is used instead of one made from LogLevel and LogFormat.
	Logger *slog.Logger
}

// EtcdConfig is how an external etcd is reached.
type EtcdConfig struct {
	Endpoints                 []string
	CAFile, CertFile, KeyFile string
	Username, PasswordFile    string
}

// StripeConfig is how Stripe is reached.
type StripeConfig struct {
	// KeyFile holds the secret key. Key is the same from the environment, where there is no
	// file.
	KeyFile, Key string
	// WebhookSecretFile holds the secrets by which webhooks are signed, one a line: several
	// while one is replaced by another.
	WebhookSecretFile string
	// APIBase is where Stripe's API is; Stripe itself when empty.
	APIBase string
}

// MailConfig is which mail server takes letters.
type MailConfig struct {
	// SMTPAddr is host:port; none when empty.
	SMTPAddr string
	// SMTPUsername and the file's password authenticate.
	SMTPUsername, SMTPPasswordFile string
	// From is the sender's address.
	From string
}

// External says whether there is an external cluster.
func (c EtcdConfig) External() bool { return len(c.Endpoints) > 0 }

// DevConfig returns the defaults of `breakwaterd dev`.
func DevConfig() *Config {
	return &Config{
		Dev:         true,
		DataDir:     "./breakwater-data",
		HTTP:        "127.0.0.1:8080",
		GRPC:        "127.0.0.1:9090",
		Report:      "127.0.0.1:0",
		BakeScale:   1,
		NameServers: defaultNameServers(),
		LogLevel:    "warn",
		LogFormat:   "text",
	}
}

// ServeConfig returns the defaults of `breakwaterd serve`.
func ServeConfig() *Config {
	return &Config{
		DataDir:     "./breakwater-data",
		HTTP:        ":8080",
		GRPC:        ":9090",
		Admin:       "127.0.0.1:9091",
		Report:      ":9443",
		BakeScale:   1,
		NameServers: defaultNameServers(),
		LogLevel:    "info",
		LogFormat:   "json",
	}
}

func defaultNameServers() []string {
	names := []string{"ada", "bela", "cleo", "dana", "emil", "finn", "gaia", "hugo", "iris", "juno", "kali", "liam"}
	for i, n := range names {
		names[i] = n + ".ns.breakwater.example"
	}
	return names
}

// shutdownGrace bounds how long open calls may take to end when the server stops.
const shutdownGrace = 10 * time.Second

// check says everything that is wrong with the configuration at once.
func (c *Config) check() error {
	var errs []error
	wrong := func(setting, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", setting, fmt.Sprintf(format, args...)))
	}
	if c.DataDir == "" {
		wrong("data-dir", "must be given")
	}
	for setting, addr := range map[string]string{"http": c.HTTP, "grpc": c.GRPC, "report": c.Report, "admin": c.Admin} {
		if addr == "" && setting == "admin" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			wrong(setting, "%q is not host:port", addr)
		}
	}
	if c.BakeScale < 0 {
		wrong("bake-scale", "must not be negative")
	}
	if len(c.NameServers) < 4 || len(ownZones(c.NameServers)) == 0 {
		wrong("name-servers", "needs at least four full names, so that accounts that claim the same domain get different pairs")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		wrong("tls-cert-file", "goes with tls-key-file")
	}
	if !c.Dev && (c.ReportCertFile == "" || c.ReportKeyFile == "" || c.ReportClientCAFile == "") {
		wrong("report-cert-file", "report-cert-file, report-key-file and report-client-ca-file must be given: edges report over mutual TLS")
	}
	if (c.OIDCIssuer == "") != (c.OIDCClientID == "") {
		wrong("oidc-issuer", "goes with oidc-client-id")
	}
	for _, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			wrong("trusted-proxies", "%q is not a network such as 192.0.2.0/24", p)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		wrong("log-level", "%q is not debug, info, warn or error", c.LogLevel)
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		wrong("log-format", "%q is not text or json", c.LogFormat)
	}
	if c.Stripe.WebhookSecretFile != "" && c.Stripe.KeyFile == "" && c.Stripe.Key == "" {
		wrong("stripe-webhook-secret-file", "goes with stripe-key-file")
	}
	if c.Mail.SMTPAddr != "" && c.Mail.From == "" {
		wrong("smtp-from", "goes with smtp-addr")
	}
	if c.Dev && c.EdgeEtcd.External() {
		wrong("edge-etcd-endpoints", "a development server has one etcd")
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (c *Config) path(parts ...string) string {
	return filepath.Join(append([]string{c.DataDir}, parts...)...)
}

func (c *Config) fileOr(given string, parts ...string) string {
	if given != "" {
		return given
	}
	return c.path(parts...)
}

// Version is the version that the program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return info.Main.Version
}
