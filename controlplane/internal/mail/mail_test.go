package mail_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/mail"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func letter() *storev1.Mail {
	return &storev1.Mail{To: []string{"ann@example.com"}, Subject: "An invoice is overdue", Text: "Dear Ann,\n.\nplease pay.\n", MessageId: "1.acme"}
}

// server answers one conversation of SMTP (RFC 5321) and returns what was sent.
func server(t *testing.T, toRecipient string) (addr string, sent <-chan string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, done := make(chan string, 1), make(chan struct{})
	t.Cleanup(func() { _ = ln.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		lines, say := bufio.NewScanner(conn), func(s string) { _, _ = fmt.Fprint(conn, s+"\r\n") }
		say("220 test")
		for lines.Scan() {
			switch verb, _, _ := strings.Cut(lines.Text(), " "); verb {
			case "EHLO", "MAIL", "RSET", "NOOP":
				say("250 fine")
			case "RCPT":
				say(toRecipient)
			case "DATA":
				say("354 go on")
				var text strings.Builder
				for lines.Scan() && lines.Text() != "." {
					text.WriteString(lines.Text() + "\n")
				}
				out <- text.String()
				say("250 taken")
			case "QUIT":
				say("221 bye")
				return
			}
		}
	}()
	return ln.Addr().String(), out
}

func send(t *testing.T, addr string) error {
	t.Helper()
	s, err := mail.NewSMTP(mail.SMTPConfig{Addr: addr, From: "Breakwater <billing@example.com>", Clock: clockwork.NewFakeClock()})
	if err != nil {
		t.Fatal(err)
	}
	return s.Send(t.Context(), letter())
}

func TestSMTP(t *testing.T) {
	addr, sent := server(t, "250 fine")
	if err := send(t, addr); err != nil {
		t.Fatal(err)
	}
	text := <-sent
	for _, want := range []string{
		"Subject: An invoice is overdue", "To: <ann@example.com>", "Message-ID: <1.acme@breakwater>", "please pay.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestSMTPRefuses(t *testing.T) {
	for reply, forGood := range map[string]bool{"550 no such mailbox": true, "451 try later": false} {
		addr, _ := server(t, reply)
		err := send(t, addr)
		var refused *mail.RefusedError
		if err == nil || errors.As(err, &refused) != forGood {
			t.Errorf("%s: %v", reply, err)
		}
	}
	if err := send(t, "127.0.0.1:1"); err == nil {
		t.Error("sent to nobody")
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []mail.SMTPConfig{
		{Addr: "mail.example.com", From: "a@example.com"},
		{Addr: "mail.example.com:smtp", From: "a@example.com"},
		{Addr: "mail.example.com:587", From: "nobody"},
	} {
		if _, err := mail.NewSMTP(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	s := mail.NewFolder(dir, clockwork.NewFakeClock())
	for range 2 { // Sent twice it is one letter.
		if err := s.Send(t.Context(), letter()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "1.acme.eml" {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "1.acme.eml"))
	if err != nil || !strings.Contains(string(text), "please pay.") {
		t.Errorf("%v\n%s", err, text)
	}
}

// puts collects what a change puts.
type puts map[string]proto.Message

func (p puts) Put(key string, m proto.Message) error { p[key] = m; return nil }

func (puts) Now() time.Time { return time.Unix(1, 0) }

type sender struct{ err error }

func (s sender) Send(context.Context, *storev1.Mail) error { return s.err }

func TestOutbox(t *testing.T) {
	tx := puts{}
	l := letter()
	l.MessageId = ""
	if err := mail.Put(tx, "acme", "overdue-1", l); err != nil {
		t.Fatal(err)
	}
	item, ok := tx["registry/state/outbox/mail-acme-overdue-1"].(*storev1.OutboxItem)
	if !ok || item.GetKind() != mail.Kind || item.GetSubject() != "acme" {
		t.Fatalf("put %v", tx)
	}
	got := &storev1.Mail{}
	if err := proto.Unmarshal(item.GetPayload(), got); err != nil || got.GetMessageId() != "overdue-1.acme" {
		t.Error(got, err)
	}
	if err := mail.Put(tx, "acme", "x", &storev1.Mail{}); err == nil {
		t.Error("a letter to nobody is accepted")
	}
	dead := outbox.Dead(errors.New("x"))
	for name, c := range map[string]struct {
		payload []byte
		answer  error
		dead    bool
	}{
		"sent":    {payload: item.GetPayload()},
		"down":    {payload: item.GetPayload(), answer: errors.New("down")},
		"refused": {payload: item.GetPayload(), answer: &mail.RefusedError{Cause: errors.New("550")}, dead: true},
		"damaged": {payload: []byte{0xff}, dead: true},
	} {
		err := mail.Handler(sender{c.answer})(t.Context(), outbox.Item{Payload: c.payload})
		isDead := err != nil && fmt.Sprintf("%T", err) == fmt.Sprintf("%T", dead)
		if isDead != c.dead || (err == nil) != (c.answer == nil && !c.dead) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
