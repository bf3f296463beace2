package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// key is one line of a keyring's file: an ID and the key in base64.
type key struct {
	id    string
	bytes []byte
}

// Load reads the keyring at path, and makes one with a first key where there is none. The
// file must be readable by its owner alone. random is where keys and nonces come from:
// crypto/rand.Reader but in tests.
func Load(path string, random io.Reader) (*Keyring, error) {
	keys, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := addKey(path, nil, random); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// Where another process made the file first, its key counts.
		keys, err = readKeys(path)
	}
	if err != nil {
		return nil, err
	}
	return newKeyring(keys, random)
}

// Rotate adds a new key to the file at path, which then seals. Processes that run learn of
// it when they load the file again; what the new key sealed they can't open before.
func Rotate(path string, random io.Reader) error {
	keys, err := readKeys(path)
	if err != nil {
		return err
	}
	return addKey(path, keys, random)
}

func readKeys(path string) ([]key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret: keyring: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secret: %s is open to others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret: keyring: %w", err)
	}
	keys, err := parseKeys(content)
	if err != nil {
		return nil, fmt.Errorf("secret: %s: %w", path, err)
	}
	return keys, nil
}

func parseKeys(content []byte) ([]key, error) {
	var keys []key
	for n, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, encoded, ok := strings.Cut(line, " ")
		if !ok || id == "" || len(id) > maxKeyID {
			return nil, fmt.Errorf("line %d is not `id key`", n+1)
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || len(b) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("line %d: a key has %d bytes in base64", n+1, chacha20poly1305.KeySize)
		}
		keys = append(keys, key{id: id, bytes: b})
	}
	return keys, nil
}

// addKey writes keys and a new one. A first file is made exclusively; an existing one is
// replaced at once, so that no reader sees a part.
func addKey(path string, keys []key, random io.Reader) error {
	var id [6]byte
	fresh := key{bytes: make([]byte, chacha20poly1305.KeySize)}
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return fmt.Errorf("secret: randomness: %w", err)
	}
	if _, err := io.ReadFull(random, fresh.bytes); err != nil {
		return fmt.Errorf("secret: randomness: %w", err)
	}
	fresh.id = "k" + hex.EncodeToString(id[:])

	var content bytes.Buffer
	content.WriteString("# Keys that seal secrets at rest, oldest first. Keep a copy somewhere safe.\n")
	for _, k := range append(keys, fresh) {
		fmt.Fprintf(&content, "%s %s\n", k.id, base64.StdEncoding.EncodeToString(k.bytes))
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("secret: keyring: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	if err := write(temporary, content.Bytes()); err != nil {
		return fmt.Errorf("secret: keyring: %w", err)
	}
	if len(keys) > 0 {
		err = os.Rename(temporary.Name(), path)
	} else {
		err = os.Link(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("secret: keyring: %w", err)
	}
	return nil
}

// write fills a new file, which os.CreateTemp made for its owner alone, and makes it last.
func write(f *os.File, content []byte) error {
	_, err := f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
