package secret

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrOpen says that a sealed value can't be opened: its key is not in the ring, it was
// changed, or it was sealed for something else.
var ErrOpen = errors.New("secret: can't be opened")

// sealVersion is the first byte of every sealed value.
const sealVersion = 1

// maxKeyID bounds the ID of a key.
const maxKeyID = 32

// Keyring seals and opens.
type Keyring struct {
	current string
	aeads   map[string]cipher.AEAD
	random  io.Reader
}

// newKeyring makes a ring of keys by their IDs; current is the one that seals.
func newKeyring(keys []key, random io.Reader) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("secret: a keyring needs a key")
	}
	k := &Keyring{aeads: map[string]cipher.AEAD{}, random: random}
	for _, key := range keys {
		aead, err := chacha20poly1305.NewX(key.bytes)
		if err != nil {
			return nil, fmt.Errorf("secret: key %s: %w", key.id, err)
		}
		if _, twice := k.aeads[key.id]; twice {
			return nil, fmt.Errorf("secret: two keys have the ID %s", key.id)
		}
		k.aeads[key.id], k.current = aead, key.id
	}
	return k, nil
}

// Current is the ID of the key that seals.
func (k *Keyring) Current() string { return k.current }

// Seal encrypts plaintext, bound to associated data, which [Keyring.Open] must be given
// again. It fails only when there is no randomness.
func (k *Keyring) Seal(plaintext, associated []byte) ([]byte, error) {
	aead := k.aeads[k.current]
	out := make([]byte, 0, 2+len(k.current)+aead.NonceSize()+len(plaintext)+aead.Overhead())
	out = append(out, sealVersion, byte(len(k.current)))
	out = append(out, k.current...)
	header := len(out)
	out = out[:header+aead.NonceSize()]
	if _, err := io.ReadFull(k.random, out[header:]); err != nil {
		return nil, fmt.Errorf("secret: randomness: %w", err)
	}
	return aead.Seal(out, out[header:], plaintext, bound(out[:header], associated)), nil
}

// Open decrypts what Seal made with the same associated data, by whatever key of the ring
// it was sealed with. It fails with [ErrOpen].
func (k *Keyring) Open(sealed, associated []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealVersion || len(sealed) < 2+int(sealed[1]) {
		return nil, fmt.Errorf("%w: malformed", ErrOpen)
	}
	header := 2 + int(sealed[1])
	aead, ok := k.aeads[string(sealed[2:header])]
	if !ok {
		return nil, fmt.Errorf("%w: its key is not in the ring", ErrOpen)
	}
	if len(sealed) < header+aead.NonceSize() {
		return nil, fmt.Errorf("%w: malformed", ErrOpen)
	}
	nonce, ciphertext := sealed[header:header+aead.NonceSize()], sealed[header+aead.NonceSize():]
	plaintext, err := aead.Open(nil, nonce, ciphertext, bound(sealed[:header], associated))
	if err != nil {
		return nil, fmt.Errorf("%w: changed, or sealed for something else", ErrOpen)
	}
	return plaintext, nil
}

// bound ties the header to the associated data. The header says its own length, so no two
// pairs look the same.
func bound(header, associated []byte) []byte {
	return slices.Concat(header, associated)
}
