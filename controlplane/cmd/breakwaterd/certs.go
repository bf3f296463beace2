package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

func edgeCertCommand() *cobra.Command {
	var certs server.Certificates
	var dataCenter, name string
	cmd := &cobra.Command{
		Use:   "edge-cert --dc CODE --server NAME",
		Short: "Make the certificate by which an edge server reports",
		Long: `Make the certificate by which an edge server reports, with an authority of your own that is
kept in --ca-dir: <out>/<server>.pem and .key for the server, <ca-dir>/ca.pem for
--report-client-ca-file. The certificate holds for a year; make it anew before it ends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return certs.Edge(cmd.OutOrStdout(), dataCenter, name)
		},
	}
	certFlags(cmd, &certs)
	cmd.Flags().StringVar(&dataCenter, "dc", "", "code of the data center, such as SJC")
	cmd.Flags().StringVar(&name, "server", "", "name of the server in it, such as sjc-1")
	return cmd
}

func serverCertCommand() *cobra.Command {
	var certs server.Certificates
	var name string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "server-cert --host NAME,ADDRESS",
		Short: "Make the certificate of a listener",
		Long: `Make the certificate of a listener, with the same authority as edge-cert: for the report
listener, and for the API or etcd of a small installation. Clients verify it by
<ca-dir>/ca.pem.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return certs.Listener(cmd.OutOrStdout(), name, hosts)
		},
	}
	certFlags(cmd, &certs)
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses by which the listener is reached")
	cmd.Flags().StringVar(&name, "name", "server", "name of the files")
	return cmd
}

func certFlags(cmd *cobra.Command, certs *server.Certificates) {
	cmd.Flags().StringVar(&certs.Dir, "ca-dir", "./breakwater-ca", "where the authority is kept; made when it is not there, and to be kept secret")
	cmd.Flags().StringVar(&certs.Out, "out", ".", "where the certificate and its key are written")
}

func publicKeyCommand() *cobra.Command {
	cfg := server.ServeConfig()
	var out string
	cmd := &cobra.Command{
		Use:   "public-key",
		Short: "Print the key that edge servers trust",
		Long: `Print the public half of the key that signs releases, as PEM: what breakwater-edge takes as
--trust. The key is made where there is none, as serve would.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := server.PublicKey(cfg)
			if err != nil {
				return err
			}
			if out != "" {
				return os.WriteFile(out, text, 0o644) //nolint:gosec // it is public
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "where keys are kept")
	f.StringVar(&cfg.SigningKeyFile, "signing-key-file", "", "the key; <data-dir>/keys/manifest.key when left out")
	f.StringVar(&out, "out", "", "file to write to; standard output when left out")
	return cmd
}
