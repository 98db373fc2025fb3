package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"

	"github.com/alexedwards/argon2id"
)

// Record is the file beside the published one that outlives this process: a
// salted Argon2id fingerprint of the encryption_key, and which document was
// rendered when. Its mode is 0600. It implements [Keeper], and is safe
// for concurrent use.
type Record struct {
	// Path is the file's; see [RecordPath].
	Path string
	// AcceptKey takes whatever key comes first for the right one.
	AcceptKey bool

	mu   sync.Mutex // guards what follows
	read bool
	what record
	// These are of what the fingerprints were made of, or compared with, last.
	sum   [sha256.Size]byte // of what was published
	store string
}

type record struct {
	Key      string `json:"encryption_key,omitempty"` // in the form of the PHC: $argon2id$v=19$m=…,t=…,p=…$salt$hash
	Document string `json:"document,omitempty"`       // its SHA-256
	// Published is a fingerprint of what was published, in the form of Key: what is
	// published holds passwords that could be guessed from a plain digest.
	Published string `json:"published,omitempty"`
	// Store is a fingerprint of the vault_store, where that is none of the document's.
	Store string `json:"vault_store,omitempty"`
}

// Origin is what a rendering was made of.
type Origin struct {
	Document []byte
	// Store tells one vault_store from another; it is empty where that stands in the
	// document.
	Store string
}

// RecordPath returns the record's place beside the published file.
func RecordPath(out string) string { return out + ".state" }

// cost is that of a fingerprint: the least that OWASP recommends for a password. It
// is paid once in the life of a process.
var cost = &argon2id.Params{Iterations: 2, Memory: 19 << 10, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// KeyHint is what to do about an encryption_key that has changed.
const KeyHint = "restore the old key; or, after the database was cleaned, use --accept-new-encryption-key once"

// recordMost is more than a record has, in bytes.
const recordMost = 64 << 10

func (r *Record) load() error {
	if r.read {
		return nil
	}
	content, _, err := regular.ReadFile(r.Path, recordMost)
	if errors.Is(err, fs.ErrNotExist) {
		r.read = true
		return nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r.what)
	}
	if err != nil {
		return &sources.Error{
			Kind: sources.BadSettings, Message: fmt.Sprintf("the record beside the published file cannot be read: %v", err),
			Hint: "restore " + r.Path + "; or, for a new and empty database, remove it", Err: err,
		}
	}
	r.read = true
	return nil
}

// write writes the record, which has the time of confirmed, or of now where that is
// zero.
func (r *Record) write(confirmed time.Time) error {
	content, err := json.Marshal(&r.what)
	if err != nil {
		return err
	}
	target, err := publish.Check(r.Path, nil, publish.Options{})
	if err != nil {
		return err
	}
	staged, err := target.Stage(append(content, '\n'))
	if err != nil {
		return err
	}
	defer staged.Discard()
	if !confirmed.IsZero() {
		if err := staged.SetTime(confirmed); err != nil {
			return err
		}
	}
	_, err = staged.Commit()
	return err
}

// confirmed returns when the values were had that the record tells of; zero where it
// tells of none.
func (r *Record) confirmed() time.Time {
	info, err := os.Stat(r.Path)
	if err != nil || r.what.Document == "" {
		return time.Time{}
	}
	return info.ModTime()
}

// Check implements [Keeper].
func (r *Record) Check(key sources.Secret) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.AcceptKey {
		return nil
	}
	if err := r.load(); err != nil || r.what.Key == "" {
		return err
	}
	same, err := matches(r.what.Key, key)
	if err != nil {
		return &sources.Error{
			Kind: sources.BadSettings, Message: "the fingerprint of the key in " + r.Path + " cannot be read: " + err.Error(),
			Hint: "restore the file; or, for a new and empty database, use --accept-new-encryption-key",
		}
	}
	if !same {
		return &sources.Error{
			Kind:    sources.Unusable,
			Message: "the key is not the one that Bifrost's database was written with; it would become unreadable",
			Hint:    KeyHint,
		}
	}
	return nil
}

// Keep implements [Keeper].
func (r *Record) Keep(key sources.Secret) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil && !r.AcceptKey {
		return err
	}
	r.read = true
	if same, err := matches(r.what.Key, key); err == nil && same {
		return nil
	}
	r.what.Key = fingerprint(key)
	return r.write(r.confirmed())
}

// fingerprint returns a salted one.
func fingerprint(of sources.Secret) string {
	print, err := argon2id.CreateHash(string(of.Reveal()), cost)
	if err != nil {
		panic(err) // it is that of crypto/rand, which never fails
	}
	return print
}

// matches reports whether a fingerprint is that of key.
func matches(print string, key sources.Secret) (bool, error) {
	cost, salt, sum, err := argon2id.DecodeHash(print)
	// The bounds keep a damaged file from asking for all memory there is.
	if err != nil || cost.Memory < 8 || cost.Memory > 1<<20 || cost.Iterations < 1 || cost.Iterations > 64 ||
		cost.Parallelism < 1 || cost.Parallelism > 64 || len(sum) < 16 || len(sum) > 64 || len(salt) < 8 {
		return false, errors.New("it is no argon2id fingerprint, or damaged")
	}
	return argon2id.ComparePasswordAndHash(string(key.Reveal()), print)
}

// confirmEvery bounds how often the record's time is written: the age of what is
// published may be taken for so much more than it is.
const confirmEvery = 5 * time.Minute

// Confirm notes that published was rendered from there, with values that were had from
// their source just now. Where all is the same, nothing but the file's time is written,
// once in five minutes at most.
func (r *Record) Confirm(from Origin, published []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return err
	}
	if r.what.Document == digest(from.Document) && r.isFrom(from.Store) && r.isPublished(published) {
		now := time.Now()
		if info, err := os.Stat(r.Path); err == nil && now.Sub(info.ModTime()).Abs() < confirmEvery {
			return nil
		}
		if err := os.Chtimes(r.Path, now, now); err == nil {
			return nil
		}
	}
	return r.note(from, published, time.Time{})
}

// Note notes that published was rendered from there, with values that may be as old as
// those that were confirmed last: the record's time stays.
func (r *Record) Note(from Origin, published []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return err
	}
	return r.note(from, published, r.confirmed())
}

func (r *Record) note(from Origin, published []byte, confirmed time.Time) error {
	r.what.Document = digest(from.Document)
	if from.Store == "" {
		r.what.Store = ""
	} else if !r.isFrom(from.Store) {
		r.what.Store, r.store = fingerprint(sources.NewSecret([]byte(from.Store))), from.Store
	}
	r.sum = sha256.Sum256(published)
	r.what.Published = fingerprint(sources.NewSecret(r.sum[:]))
	return r.write(confirmed)
}

// isPublished reports whether content is what was published last.
func (r *Record) isPublished(content []byte) bool {
	sum := sha256.Sum256(content)
	if r.what.Published != "" && sum == r.sum {
		return true
	}
	same, err := matches(r.what.Published, sources.NewSecret(sum[:]))
	if same && err == nil {
		r.sum = sum
	}
	return same && err == nil
}

// isFrom reports whether store is the one that was noted last.
func (r *Record) isFrom(store string) bool {
	if store == "" || r.what.Store == "" || store == r.store {
		return (store == "") == (r.what.Store == "")
	}
	same, err := matches(r.what.Store, sources.NewSecret([]byte(store)))
	if same && err == nil {
		r.store = store
	}
	return same && err == nil
}

// Intact returns an error where published is not what was published last.
func (r *Record) Intact(published []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return err
	}
	if !r.isPublished(published) {
		return errNotPublished
	}
	return nil
}

var errNotPublished = errors.New("the file that is there is not the one that was published with the last good values")

// ahead is by how much the clocks of two machines with one disk may differ.
const ahead = time.Minute

// Serves reports whether published, as it stands there, may serve in an outage: it
// is what was published, was rendered from there, and confirmed no longer ago than
// maxAge. It returns its age, or says why it may not.
func (r *Record) Serves(from Origin, published []byte, maxAge time.Duration) (age time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return 0, err
	}
	info, err := os.Stat(r.Path)
	switch {
	case err != nil || r.what.Document == "":
		return 0, errors.New("nothing was rendered here before")
	case r.what.Document != digest(from.Document):
		return 0, errors.New("the config was edited since the last good values were rendered")
	case !r.isFrom(from.Store):
		return 0, errors.New("the vault_store is another one than when the last good values were rendered")
	case r.what.Published == "":
		return 0, errors.New("an older version noted the last good values, and not what was published")
	case !r.isPublished(published):
		return 0, errNotPublished
	case time.Until(info.ModTime()) > ahead:
		return 0, fmt.Errorf("the last good values are of a time to come, by %s: the clock was, or is, wrong", time.Until(info.ModTime()).Round(time.Second))
	}
	if age = time.Since(info.ModTime()); age > maxAge {
		return age, fmt.Errorf("the last good values are %s old, more than %s (--start-from-last-good)", age.Round(time.Second), maxAge)
	}
	return age, nil
}

func digest(document []byte) string {
	sum := sha256.Sum256(document)
	return "sha256:" + hex.EncodeToString(sum[:])
}
