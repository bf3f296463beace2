package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

func devCommand() *cobra.Command {
	cfg := server.DevConfig()
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, with simulated data centers",
		Long: `Run everything in one process: etcd, the API, 23 simulated data centers of two servers
around the real edge agent, and a DNS server that makes any *.test domain verify. State is
kept in the data directory; started again there, everything is as it was.`,
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
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "where state is kept")
	f.StringVar(&cfg.HTTP, "http", cfg.HTTP, "address of the REST API")
	f.StringVar(&cfg.GRPC, "grpc", cfg.GRPC, "address of the gRPC API")
	f.Float64Var(&cfg.BakeScale, "bake-scale", cfg.BakeScale, "multiplies every bake and soak; 0 turns them off")
	f.StringSliceVar(&cfg.TrustedProxies, "trusted-proxies", nil, "networks whose X-Forwarded-For is believed")
	f.StringVar(&cfg.LogLevel, "log-level", cfg.LogLevel, "debug, info, warn or error")
	f.StringVar(&cfg.LogFormat, "log-format", cfg.LogFormat, "text or json")
	return cmd
}
