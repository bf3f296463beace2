package stripe

import (
	"errors"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is an API key or a webhook's signing secret. However it is printed, logged or
// encoded, it does not show; string(s) is the secret itself.
type Secret string

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// check refuses what cannot be a key for servers. It does not say what it was given.
func (s Secret) check() error {
	switch key := string(s); {
	case key == "":
		return errors.New("stripe: no API key is given")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("stripe: the API key has a space, a line break or a strange character in it")
	case strings.HasPrefix(key, "pk_"):
		return errors.New("stripe: that is a publishable key; a secret or restricted one is needed")
	case strings.HasPrefix(key, "whsec_"):
		return errors.New("stripe: that is a webhook's secret, not an API key")
	}
	return nil
}

// silent drops what the library logs: at its levels are whole answers, with the secrets of
// payment intents. [Provider] logs its calls itself.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
