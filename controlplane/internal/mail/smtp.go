package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jonboulle/clockwork"
	gomail "github.com/wneessen/go-mail"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// SMTPConfig says which mail server takes letters.
type SMTPConfig struct {
	// Addr is host:port. Port 465 begins with TLS; others use STARTTLS, and refuse to go on
	// without it unless the host is loopback.
	Addr string
	// Username and Password authenticate; without a name nothing does.
	Username, Password string
	// From is the sender's address, with a name or without.
	From  string
	Clock clockwork.Clock
}

// smtpLimit bounds one conversation with the mail server.
const smtpLimit = 30 * time.Second

type smtpSender struct {
	cfg  SMTPConfig
	host string
	opts []gomail.Option
}

// NewSMTP makes a sender over a mail server. It does not connect yet.
func NewSMTP(cfg SMTPConfig) (Sender, error) {
	host, portText, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("mail: %q is not host:port", cfg.Addr)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("mail: %q is no port", portText)
	}
	opts := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(smtpLimit)}
	ip := net.ParseIP(host)
	switch {
	case port == 465:
		opts = append(opts, gomail.WithSSL())
	case host == "localhost" || ip != nil && ip.IsLoopback():
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if cfg.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(cfg.Username), gomail.WithPassword(cfg.Password))
	}
	s := &smtpSender{cfg: cfg, host: host, opts: opts}
	if _, err := message(&storev1.Mail{To: []string{"nobody@example.com"}}, cfg.From, time.Time{}); err != nil {
		return nil, err
	}
	_, err = gomail.NewClient(host, opts...)
	return s, err
}

// Send implements Sender, with a connection of its own for each letter.
func (s *smtpSender) Send(ctx context.Context, letter *storev1.Mail) error {
	ctx, cancel := context.WithTimeout(ctx, smtpLimit)
	defer cancel()
	m, err := message(letter, s.cfg.From, s.cfg.Clock.Now())
	if err != nil {
		return err
	}
	client, err := gomail.NewClient(s.host, s.opts...)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	err = client.DialAndSendWithContext(ctx, m)
	if err == nil {
		return nil
	}
	var failed *gomail.SendError
	if errors.As(err, &failed) && failed.ErrorCode() >= 500 && !failed.IsTemp() {
		return &RefusedError{Cause: err}
	}
	return fmt.Errorf("mail: %w", err)
}
