package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

func billingCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "billing",
		Short: "Keep Stripe and the accounts alike",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(billingSyncCommand(), billingReconcileCommand())
	return cmd
}

func billingSyncCommand() *cobra.Command {
	var sync server.BillingSync
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make Stripe's products and prices what the plans say",
		Long: `Make Stripe's catalogue what the plans say: a product and a monthly price for each plan that
costs something, the portal's configuration and, with --webhook-url, the webhook endpoint,
whose secret is added to --stripe-webhook-secret-file. It prints what it changes, and nothing
differs the second time. The key comes from --stripe-key-file or BREAKWATER_STRIPE_KEY.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, os.LookupEnv); err != nil {
				return err
			}
			return sync.Run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.String(configFlag, "", "a YAML file of these settings")
	stripeFlags(f, &sync.Stripe)
	f.StringVar(&sync.WebhookURL, "webhook-url", "", "where Stripe sends events, such as https://api.example.com/webhooks/stripe")
	f.StringVar(&sync.PrivacyURL, "privacy-url", "", "your privacy policy, for the portal; the Stripe account's when left out")
	f.StringVar(&sync.TermsURL, "terms-url", "", "your terms of service, for the portal; the Stripe account's when left out")
	f.BoolVar(&sync.DryRun, "dry-run", false, "print what would change, and change nothing")
	return cmd
}

func billingReconcileCommand() *cobra.Command {
	var reconcile server.BillingReconcile
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare the accounts with the payment provider, and repair what differs",
		Long: `Have a running server compare what its accounts pay for with what the payment provider has,
and repair what differs. It happens by itself every hour as well. The exit code is 1 where
something needs an operator.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, os.LookupEnv); err != nil {
				return err
			}
			return reconcile.Run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.String(configFlag, "", "a YAML file of these settings")
	f.StringVar(&reconcile.URL, "server", "http://127.0.0.1:8080", "where the REST API is")
	f.StringVar(&reconcile.TokenFile, "operator-token-file", "./breakwater-data/operator.token", "an operator's token")
	f.StringVar(&reconcile.Account, "account", "", "the one account, accounts/{account}; all when left out")
	f.BoolVar(&reconcile.DryRun, "dry-run", false, "print what differs, and repair nothing")
	return cmd
}

// stripeKeyVariable has Stripe's key where no file does. No flag has it.
const stripeKeyVariable = "BREAKWATER_STRIPE_KEY"

func stripeFlags(f *pflag.FlagSet, cfg *server.StripeConfig) {
	cfg.Key = os.Getenv(stripeKeyVariable)
	f.StringVar(&cfg.KeyFile, "stripe-key-file", "", "file with Stripe's secret key; payments are kept by the built-in ledger without one")
	f.StringVar(&cfg.WebhookSecretFile, "stripe-webhook-secret-file", "", "file with the secrets that sign Stripe's webhooks, one a line")
	f.StringVar(&cfg.APIBase, "stripe-api-base", "", "where Stripe's API is, for a mock; Stripe itself when left out")
}
