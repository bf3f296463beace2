package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe"
)

// BillingSync makes Stripe's catalogue what the plans say.
type BillingSync struct {
	Stripe StripeConfig
	// WebhookURL is where Stripe shall send events; nothing is done about webhooks when
	// empty. The secret of an endpoint that is made is added to Stripe.WebhookSecretFile.
	WebhookURL string
	// PrivacyURL and TermsURL are linked from Stripe's portal.
	PrivacyURL, TermsURL string
	// DryRun changes nothing.
	DryRun bool
}

// Run prints what it changes, or would change.
func (s BillingSync) Run(ctx context.Context, out io.Writer) error {
	key, err := s.Stripe.key()
	switch {
	case err != nil:
		return err
	case key == "":
		return errors.New("stripe-key-file: a key is needed, there or in BREAKWATER_STRIPE_KEY")
	case s.WebhookURL != "" && s.Stripe.WebhookSecretFile == "":
		return errors.New("stripe-webhook-secret-file: is needed with webhook-url: Stripe tells an endpoint's secret once")
	}
	plans, err := billing.Load()
	if err != nil {
		return err
	}
	provider, err := stripe.New(stripe.Config{
		Key: key, APIBase: s.Stripe.APIBase, Plans: plans,
		WebhookURL: s.WebhookURL, PrivacyURL: s.PrivacyURL, TermsURL: s.TermsURL,
	})
	if err != nil {
		return err
	}
	diff, err := provider.PrintSync(ctx, plans, s.DryRun, out)
	// The secret is told once: it is kept also where something else failed.
	if secret := string(diff.WebhookSecret); secret != "" && !s.DryRun {
		err = errors.Join(err, addLine(s.Stripe.WebhookSecretFile, secret))
	}
	if err == nil && len(diff.Changes) == 0 {
		_, err = fmt.Fprintln(out, "Stripe has what the plans say.")
	}
	return err
}

// addLine adds a secret to a file that only its owner reads.
func addLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// BillingReconcile has a running server compare accounts with the payment provider.
type BillingReconcile struct {
	// URL is where the server's REST API is.
	URL string
	// TokenFile holds an operator's token.
	TokenFile string
	// Account is the name of the one account; all when empty.
	Account string
	// DryRun repairs nothing.
	DryRun bool
}

// ErrOperatorNeeded says that something differs that is not repaired.
var ErrOperatorNeeded = errors.New("something differs that is not repaired")

// answerLimit bounds one answer of the server, and answerTime the wait for it.
const (
	answerLimit = 8 << 20
	answerTime  = 2 * time.Minute
)

// Run prints what differs. It fails with [ErrOperatorNeeded] where something stays so; in a
// dry run that is everything that differs.
func (b BillingReconcile) Run(ctx context.Context, out io.Writer) error {
	tokens, err := lines(b.TokenFile)
	if err != nil {
		return fmt.Errorf("operator-token-file: %w", err)
	}
	if len(tokens) == 0 {
		return errors.New("operator-token-file: must be given")
	}
	words := strings.Fields(tokens[0])
	req := &opsv1.ReconcileRequest{Account: b.Account, ValidateOnly: b.DryRun}
	accounts, open := int32(0), 0
	for {
		answer, err := b.ask(ctx, words[len(words)-1], req)
		if err != nil {
			return err
		}
		for _, d := range answer.GetDifferences() {
			state := "repaired"
			if !d.GetRepaired() {
				open++
				state = "not repaired"
			}
			if _, err := fmt.Fprintf(out, "%s %s: %q at the payment provider, should be %q (%s)\n",
				d.GetAccount(), d.GetKind(), d.GetTheirs(), d.GetOurs(), state); err != nil {
				return err
			}
		}
		accounts += answer.GetAccounts()
		if req.AfterAccount = answer.GetNextAccount(); req.GetAfterAccount() == "" {
			break
		}
	}
	if _, err := fmt.Fprintf(out, "%s compared\n", counted(int(accounts), "account")); err != nil {
		return err
	}
	if open > 0 {
		return fmt.Errorf("%s: %w", counted(open, "difference"), ErrOperatorNeeded)
	}
	return nil
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// ask makes one call of the operators' API.
func (b BillingReconcile) ask(ctx context.Context, token string, req *opsv1.ReconcileRequest) (*opsv1.ReconcileResponse, error) {
	address, err := url.JoinPath(b.URL, "/v1/billing:reconcile")
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	// validate_only is a parameter of the query, as everywhere.
	if req.GetValidateOnly() {
		address += "?validateOnly=true"
	}
	body, err := json.Marshal(map[string]string{"account": req.GetAccount(), "afterAccount": req.GetAfterAccount()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("server: %s: %.500s", resp.Status, text)
	}
	out := &opsv1.ReconcileResponse{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return out, nil
}
