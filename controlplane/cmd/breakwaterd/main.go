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
		_, _ = fmt.Fprintln(os.Stderr, "breakwaterd:", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "breakwaterd",
		Short:         "The control plane of a content delivery network that fails small",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		devCommand(), serveCommand(), billingCommand(), edgeCertCommand(), serverCertCommand(), publicKeyCommand(), versionCommand(),
	)
	return root
}
