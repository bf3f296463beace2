package statusfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// lookEvery is how often the status is compared with what was written.
	lookEvery = time.Second
	// writeEvery is how often the file is written although nothing changed.
	writeEvery = time.Minute
)

// File is the content of the file. Payload is the status as JSON, exactly as it was signed.
type File struct {
	// Context is what the signature is about; it is signed too, with a zero byte after it.
	Context string `json:"context"`
	// KeyID names the key; Signature is Ed25519 over context, zero byte and payload.
	KeyID     string `json:"keyId"`
	Signature []byte `json:"signature"`
	Payload   string `json:"payload"`
}

// Config is what a writer works with. All fields are needed.
type Config struct {
	Path   string
	Status func(ctx context.Context) (*breakwaterv1.NetworkStatus, error)
	Signer ed25519.PrivateKey
	Clock  clockwork.Clock
	Logger *slog.Logger
}

// Writer keeps the file.
type Writer struct {
	cfg     Config
	written *breakwaterv1.NetworkStatus
	at      time.Time
	failed  bool
}

// New returns a writer that does nothing until [Writer.Run].
func New(cfg Config) *Writer { return &Writer{cfg: cfg} }

// Run keeps the file until ctx ends. It never fails.
func (w *Writer) Run(ctx context.Context) error {
	tick := w.cfg.Clock.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !w.failed:
			w.cfg.Logger.WarnContext(ctx, "the status file can't be written", "path", w.cfg.Path, "error", err)
		}
		w.failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
	}
}

// look writes the file where that is due.
func (w *Writer) look(ctx context.Context) error {
	status, err := w.cfg.Status(ctx)
	if err != nil {
		return err
	}
	now := w.cfg.Clock.Now()
	same := proto.CloneOf(status)
	same.ObserveTime = nil
	if w.written != nil && proto.Equal(same, w.written) && now.Sub(w.at) < writeEvery {
		return nil
	}
	content, err := Seal(status, w.cfg.Signer)
	if err != nil {
		return err
	}
	if err := replace(w.cfg.Path, content); err != nil {
		return err
	}
	w.written, w.at = same, now
	return nil
}

// Seal is the content of the file for a status.
func Seal(status *breakwaterv1.NetworkStatus, key ed25519.PrivateKey) ([]byte, error) {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("statusfile: %w", err)
	}
	var payload bytes.Buffer
	if err := json.Compact(&payload, text); err != nil {
		return nil, fmt.Errorf("statusfile: %w", err)
	}
	signed, err := wire.SignText(key, wire.ContextStatus, payload.Bytes())
	if err != nil {
		return nil, fmt.Errorf("statusfile: %w", err)
	}
	content, err := json.MarshalIndent(File{
		Context: wire.ContextStatus, KeyID: signed.GetKeyId(), Signature: signed.GetSignature(), Payload: payload.String(),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("statusfile: %w", err)
	}
	return append(content, '\n'), nil
}

// replace puts a whole file in the place of another. The world may read it.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("statusfile: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644) // It is public.
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("statusfile: %w", err)
	}
	return nil
}
