package secret_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/secret"
)

func load(t *testing.T, path string) *secret.Keyring {
	t.Helper()
	k, err := secret.Load(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealAndOpen(t *testing.T) {
	k := load(t, filepath.Join(t.TempDir(), "keys"))
	for _, plaintext := range []string{"", "x", strings.Repeat("secret", 1000)} {
		sealed, err := k.Seal([]byte(plaintext), []byte("accounts/acme"))
		if err != nil {
			t.Fatal(err)
		}
		if plaintext != "" && plaintext != "x" && bytes.Contains(sealed, []byte("secret")) {
			t.Error("the plaintext shows")
		}
		got, err := k.Open(sealed, []byte("accounts/acme"))
		if err != nil || string(got) != plaintext {
			t.Errorf("opened %q, %v", got, err)
		}
		if _, err := k.Open(sealed, []byte("accounts/beta")); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("opened for another tenant: %v", err)
		}
		again, err := k.Seal([]byte(plaintext), []byte("accounts/acme"))
		if err != nil || bytes.Equal(again, sealed) {
			t.Errorf("sealing twice gives the same: %v", err)
		}
	}
}

func TestChangedValuesAreRefused(t *testing.T) {
	k := load(t, filepath.Join(t.TempDir(), "keys"))
	sealed, err := k.Seal([]byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := k.Open(changed, nil); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := k.Open(sealed[:i], nil); !errors.Is(err, secret.ErrOpen) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	old := load(t, path)
	sealed, err := old.Seal([]byte("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.Rotate(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	k := load(t, path)
	if k.Current() == old.Current() {
		t.Error("the old key still seals")
	}
	if got, err := k.Open(sealed, nil); err != nil || string(got) != "a" {
		t.Errorf("what the old key sealed: %q, %v", got, err)
	}
	fresh, err := k.Seal([]byte("b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(fresh, nil); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("the old ring opens what the new key sealed: %v", err)
	}
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	load(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Load(path, rand.Reader); err == nil {
		t.Error("a file that others can read is taken")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

func TestFirstKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	var (
		wg  sync.WaitGroup
		ids [8]string
	)
	for i := range ids {
		wg.Go(func() {
			k, err := secret.Load(path, rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.Current()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("processes that start together use different keys: %v", ids)
			break
		}
	}
}

func TestMalformedFiles(t *testing.T) {
	const good = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, content := range map[string]string{
		"empty":     "# nothing\n",
		"no key":    "k1\n",
		"short key": "k1 AAAA\n",
		"no base64": "k1 !!!!\n",
		"twice":     "k1 " + good + "\nk1 " + good + "\n",
		"long ID":   strings.Repeat("k", 33) + " " + good + "\n",
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Load(path, rand.Reader); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestNoRandomnessNoSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	load(t, path)
	k, err := secret.Load(path, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Seal([]byte("a"), nil); err == nil {
		t.Error("sealed without randomness")
	}
}

func TestStringNeverShows(t *testing.T) {
	s := secret.NewString("hunter2")
	holder := struct{ Password secret.String }{s}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", slog.Any("password", s), slog.Any("holder", holder))
	for _, shown := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", holder, holder, &holder), string(encoded), log.String(),
	} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e7465723") {
			t.Errorf("the secret shows in %s", shown)
		}
	}
	if s.Reveal() != "hunter2" || s.IsZero() || !(secret.String{}).IsZero() {
		t.Error("the secret is lost")
	}
	var back secret.String
	if err := back.UnmarshalText([]byte("x")); err != nil || back.Reveal() != "x" {
		t.Errorf("%q, %v", back.Reveal(), err)
	}
}
