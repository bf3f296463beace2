package mail

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jonboulle/clockwork"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

type folder struct {
	path  string
	clock clockwork.Clock
}

// NewFolder makes a sender that writes each letter to a file of its own in a folder, which
// is made with the first one: <message ID>.eml.
func NewFolder(path string, clock clockwork.Clock) Sender { return &folder{path: path, clock: clock} }

// Send implements Sender.
func (f *folder) Send(_ context.Context, letter *storev1.Mail) error {
	m, err := message(letter, "Breakwater <billing@breakwater.example>", f.clock.Now())
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	name := filepath.Join(f.path, filepath.Base(letter.GetMessageId())+".eml")
	if err := os.WriteFile(name+".tmp", text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}
