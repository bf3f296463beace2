package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

func serveCommand() *cobra.Command {
	cfg := server.ServeConfig()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane in production",
		Long: `Run the control plane: the API and, while this replica leads, the engine that carries
changes to the edge. Every setting may be a flag, a BREAKWATER_* variable or a line of one
YAML file, in this order of precedence. Secrets come from files, never from flags; Stripe's
key may also come from BREAKWATER_STRIPE_KEY.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, os.LookupEnv); err != nil {
				return err
			}
			return server.Run(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.String(configFlag, "", "a YAML file of these settings")
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "where keys and the embedded etcd are kept")
	f.StringVar(&cfg.HTTP, "http", cfg.HTTP, "address of the REST API")
	f.StringVar(&cfg.GRPC, "grpc", cfg.GRPC, "address of the gRPC API")
	f.StringVar(&cfg.Admin, "admin", cfg.Admin, "address of /metrics and gRPC reflection; keep it private")
	f.StringVar(&cfg.Report, "report", cfg.Report, "address where edge servers report")
	f.StringVar(&cfg.TLSCertFile, "tls-cert-file", "", "certificate of both API listeners (PEM)")
	f.StringVar(&cfg.TLSKeyFile, "tls-key-file", "", "key of that certificate (PEM)")
	f.StringVar(&cfg.ReportCertFile, "report-cert-file", "", "certificate of the report listener (PEM)")
	f.StringVar(&cfg.ReportKeyFile, "report-key-file", "", "key of the report listener's certificate (PEM)")
	f.StringVar(&cfg.ReportClientCAFile, "report-client-ca-file", "", "authority of the edge servers' certificates (PEM)")
	f.StringVar(&cfg.OperatorTokenFile, "operator-token-file", "", "the operators' tokens, one a line, with a name before each where there are several; made in the data directory when left out")
	f.StringVar(&cfg.SigningKeyFile, "signing-key-file", "", "Ed25519 key that signs manifests (PKCS #8, PEM); made in the data directory when left out")
	f.StringVar(&cfg.SealKeyFile, "seal-key-file", "", "keys that seal secrets at rest; made in the data directory when left out")
	f.StringSliceVar(&cfg.Etcd.Endpoints, "etcd-endpoints", nil, "an external etcd; embedded when left out")
	f.StringVar(&cfg.Etcd.CAFile, "etcd-ca-file", "", "authority of the external etcd's certificates (PEM)")
	f.StringVar(&cfg.Etcd.CertFile, "etcd-cert-file", "", "client certificate for the external etcd (PEM)")
	f.StringVar(&cfg.Etcd.KeyFile, "etcd-key-file", "", "key of that client certificate (PEM)")
	f.StringVar(&cfg.Etcd.Username, "etcd-username", "", "user of the external etcd")
	f.StringVar(&cfg.Etcd.PasswordFile, "etcd-password-file", "", "file with the password of that user")
	f.StringSliceVar(&cfg.EdgeEtcd.Endpoints, "edge-etcd-endpoints", nil, "an etcd of its own for what data centers read; the same one when left out")
	f.StringVar(&cfg.EdgeEtcd.CAFile, "edge-etcd-ca-file", "", "authority of the data centers' etcd's certificates (PEM)")
	f.StringVar(&cfg.EdgeEtcd.CertFile, "edge-etcd-cert-file", "", "client certificate for the data centers' etcd (PEM)")
	f.StringVar(&cfg.EdgeEtcd.KeyFile, "edge-etcd-key-file", "", "key of that client certificate (PEM)")
	f.StringVar(&cfg.EdgeEtcd.Username, "edge-etcd-username", "", "user of the data centers' etcd")
	f.StringVar(&cfg.EdgeEtcd.PasswordFile, "edge-etcd-password-file", "", "file with the password of that user")
	f.StringSliceVar(&cfg.DNSResolvers, "dns-resolver", cfg.DNSResolvers, "recursive resolvers for activation checks, host:port; of the system when left out")
	f.StringSliceVar(&cfg.NameServers, "name-servers", cfg.NameServers, "the pool that sites' name servers are assigned from; at least four")
	f.StringVar(&cfg.OIDCIssuer, "oidc-issuer", "", "identity provider of people's logins")
	f.StringVar(&cfg.OIDCClientID, "oidc-client-id", "", "audience that its ID tokens must have")
	f.StringSliceVar(&cfg.TrustedProxies, "trusted-proxies", nil, "networks whose X-Forwarded-For is believed")
	stripeFlags(f, &cfg.Stripe)
	f.StringVar(&cfg.Seller, "billing-seller", "", "who sells, on printed invoices: name, address, tax number")
	f.StringVar(&cfg.Mail.SMTPAddr, "smtp-addr", "", "mail server for letters, host:port; none are sent when left out")
	f.StringVar(&cfg.Mail.SMTPUsername, "smtp-username", "", "user name at the mail server")
	f.StringVar(&cfg.Mail.SMTPPasswordFile, "smtp-password-file", "", "file with the password of that user")
	f.StringVar(&cfg.Mail.From, "smtp-from", "", "the sender's address, such as \"Example CDN <billing@example.com>\"")
	f.StringVar(&cfg.StatusFile, "status-file", "", "where the public status is written as a signed file; status.json in the data directory when left out")
	f.StringVar(&cfg.FleetFile, "fleet-file", "", "the data centers (JSON); the built-in list when left out")
	f.StringVar(&cfg.OTLPEndpoint, "otlp-endpoint", "", "where traces are sent (OTLP over gRPC); none when left out")
	f.StringVar(&cfg.LogLevel, "log-level", cfg.LogLevel, "debug, info, warn or error")
	f.StringVar(&cfg.LogFormat, "log-format", cfg.LogFormat, "text or json")
	return cmd
}
