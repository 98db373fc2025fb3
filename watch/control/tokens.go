package control

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

const (
	// TokenVariable is the environment variable that holds tokens.
	TokenVariable = "BIFROST_SECRETS_TOKEN"

	tokenFileMax = 64 << 10
	// tokenShort is what a token of fewer characters is called.
	tokenShort = 16
)

// ReadTokens returns the tokens in a file, one a line; empty lines and those that
// begin with # are left out. The first is the one that a client sends. An error
// is an [*Error]: also where everybody on the machine can read the file, or
// others than this user and root can change it.
func ReadTokens(path string) ([]sources.Secret, error) {
	what := "--token-file " + path
	data, err := ReadPrivate(what, path)
	if err != nil {
		return nil, err
	}
	return ParseTokens(what, data)
}

// ReadPrivate reads a file of credentials; what is how an error calls it. An error
// is an [*Error]: also where everybody on the machine can read the file, or others
// than this user and root can change it.
func ReadPrivate(what, path string) ([]byte, error) {
	data, info, err := regular.ReadFile(path, tokenFileMax)
	if err != nil {
		if _, missing := os.Lstat(path); missing != nil { // then the path may be the token itself
			what = "the file of " + strings.TrimSpace(strings.ReplaceAll(what, path, ""))
		}
		e := fileError(what, err)
		if errors.Is(err, fs.ErrNotExist) {
			e.Hint = "name a file that holds it; what is secret is never an argument"
		}
		return nil, e
	}
	// Windows has access lists instead, and Go makes up a mode there.
	if perm := info.Mode().Perm(); perm&0o026 != 0 && runtime.GOOS != "windows" {
		return nil, &Error{
			Reason: fmt.Sprintf("%s has mode %04o: others can read or change the tokens", what, perm),
			Hint:   "chmod 600 it (in Kubernetes: defaultMode 0400, or 0440 with fsGroup), and take new tokens",
		}
	}
	if owner, other := otherOwner(info); other {
		return nil, &Error{
			Reason: fmt.Sprintf("%s belongs to user %d, who can change the tokens", what, owner),
			Hint:   "give it to the user that this process runs as, or to root",
		}
	}
	return data, nil
}

// ParseTokens is [ReadTokens] for a text that is at hand; what is how an error
// calls it.
func ParseTokens(what string, data []byte) ([]sources.Secret, error) {
	var out []sources.Secret
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if slices.ContainsFunc(line, func(b byte) bool { return b <= ' ' || b > '~' }) {
			return nil, &Error{
				Reason: fmt.Sprintf("%s: line %d is no token: a token is printable ASCII without spaces", what, number),
				Hint:   "`openssl rand -hex 32` makes one",
			}
		}
		out = append(out, sources.NewSecret(bytes.Clone(line)))
	}
	return out, nil
}

// tokens are the sums of the tokens: comparing sums takes the same time
// whatever the length of what was sent.
type tokens [][sha256.Size]byte

// has reports whether given is one of the tokens, in a time that does not tell
// which or how nearly.
func (t tokens) has(given string) bool { return t.hold(sha256.Sum256([]byte(given))) }

// hold is has for the sum of a token.
func (t tokens) hold(sum [sha256.Size]byte) bool {
	found := 0
	for i := range t {
		found |= subtle.ConstantTimeCompare(t[i][:], sum[:])
	}
	return found == 1
}

// followTokens returns nil where there is neither a file nor a token.
func followTokens(path string, more sources.Secret, log *slog.Logger) (*live[tokens], error) {
	given, err := ParseTokens(TokenVariable, more.Reveal())
	if err != nil {
		return nil, err
	}
	if path == "" && len(given) == 0 {
		return nil, nil
	}
	short := false
	l := &live[tokens]{what: "token file", log: log, same: func(a, b tokens) bool { return slices.Equal(a, b) }}
	l.load = func() (tokens, error) {
		all := given
		if path != "" {
			read, err := ReadTokens(path)
			if err != nil {
				return nil, err
			}
			all = slices.Concat(given, read)
		}
		out := make(tokens, len(all))
		for i := range all {
			out[i] = sha256.Sum256(all[i].Reveal())
			if all[i].Len() < tokenShort && !short {
				short = true
				log.Warn(fmt.Sprintf("a token has fewer than %d characters and can be guessed", tokenShort), "hint", "`openssl rand -hex 32` makes a good one")
			}
		}
		return out, nil
	}
	if err := l.follow(); err != nil {
		return nil, err
	}
	if len(l.value) == 0 {
		return nil, &Error{Reason: "--token-file " + path + " holds no token", Hint: "write one per line; `openssl rand -hex 32` makes one"}
	}
	return l, nil
}

// bearer returns the token of an Authorization header, and "" where it has none.
func bearer(headers []string) string {
	if len(headers) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
