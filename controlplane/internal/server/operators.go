package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
)

// openOperators reads the operators' tokens, or makes one with mode 0600. A line is a token,
// with a name before it where there are several: what needs two operators tells them apart
// by their names. Empty lines and lines that begin with # mean nothing.
func openOperators(path string) ([]authn.OperatorKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		token, err := makeToken(path)
		return []authn.OperatorKey{{Digest: authn.DigestOf(token)}}, err
	}
	if err != nil {
		return nil, err
	}
	keys, err := parseOperators(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func parseOperators(text string) ([]authn.OperatorKey, error) {
	var keys []authn.OperatorKey
	named, seen := map[string]bool{}, map[authn.OperatorKey]bool{}
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name, token := "", fields[0]
		if len(fields) == 2 {
			name, token = fields[0], fields[1]
		}
		if len(fields) > 2 || !operatorName(name) {
			return nil, fmt.Errorf("line %d is not a token with perhaps a name before it (a to z, 0 to 9, . _ -)", i+1)
		}
		// The line itself is a secret and is not quoted.
		if _, err := authn.ParseCredential(token); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		digest := authn.OperatorKey{Digest: authn.DigestOf(token)}
		if named[name] || seen[digest] {
			return nil, fmt.Errorf("line %d: every operator has a name and a token of its own", i+1)
		}
		named[name], seen[digest] = true, true
		keys = append(keys, authn.OperatorKey{Name: name, Digest: digest.Digest})
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no token")
	}
	return keys, nil
}

// operatorName says whether a name is fit for audit logs; none is.
func operatorName(name string) bool {
	return len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// makeToken makes the token of the only operator.
func makeToken(path string) (string, error) {
	id, err := authn.NewID(rand.Reader)
	if err != nil {
		return "", err
	}
	token, _, err := authn.Mint(authn.OperatorCredential, id, rand.Reader)
	if err != nil {
		return "", err
	}
	tmp := filepath.Clean(path) + ".tmp"
	if err := os.WriteFile(tmp, []byte(token+"\n"), 0o600); err != nil {
		return "", err
	}
	return token, os.Rename(tmp, path)
}
