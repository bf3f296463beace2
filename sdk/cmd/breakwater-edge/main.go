package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default action holds again, so that a second one ends a
	// shutdown that hangs.
	context.AfterFunc(ctx, stop)

	root := command() //nolint:contextcheck // cobra hands it the context of ExecuteContext
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "breakwater-edge:", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "breakwater-edge --dc CODE --server NAME --etcd URL,… --trust FILE [--report HOST:PORT,…]",
		Short: "Serve what the control plane releases for this data center",
		Long: `Follow what the control plane releases for this data center, write it as files below
<data-dir>/serve, and report how it went. <data-dir>/serve/current always leads to one
complete generation: a JSON file for each document, and releases.json.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dataCenter, "dc", "", "`code` of the data center, such as SJC")
	f.StringVar(&o.server, "server", "", "`name` of this server in it, such as sjc-1")
	f.StringVar(&o.dataDir, "data-dir", "./breakwater-edge-data", "`directory` where the agent keeps what it serves")
	f.StringSliceVar(&o.trust, "trust", nil, "`file` with public keys that may sign releases (PEM), which breakwaterd public-key writes; may be repeated")
	f.StringSliceVar(&o.etcd.Endpoints, "etcd", nil, "`URL` of an etcd endpoint where releases are read; may be repeated")
	f.StringVar(&o.etcd.TLS.CA, "etcd-ca", "", "`file` with the authority of etcd's certificates (PEM)")
	f.StringVar(&o.etcd.TLS.Cert, "etcd-cert", "", "`file` with the client certificate for etcd (PEM)")
	f.StringVar(&o.etcd.TLS.Key, "etcd-key", "", "`file` with the key of the client certificate (PEM)")
	f.StringVar(&o.etcd.Username, "etcd-username", "", "`name` of the user of etcd")
	f.StringVar(&o.etcd.PasswordFile, "etcd-password-file", "", "`file` with the password of that user")
	f.StringSliceVar(&o.reports.Addresses, "report", nil, "`address` of a replica's report listener, host:port; repeated for all replicas; nothing is reported without")
	f.StringVar(&o.reports.TLS.CA, "report-ca", "", "`file` with the authority of the report listeners' certificates (PEM)")
	f.StringVar(&o.reports.TLS.Cert, "report-cert", "", "`file` with the certificate that names this data center and server (PEM)")
	f.StringVar(&o.reports.TLS.Key, "report-key", "", "`file` with the key of that certificate (PEM)")
	f.StringVar(&o.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "json", "how: text or json")
	return cmd
}
