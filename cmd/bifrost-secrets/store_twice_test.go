package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

var twiceStore = []string{"store", "--gateway", "gw", "--yes", "--config"}

func twiceConfig(keys ...string) string {
	return keysFor(`, "config_store": {"enabled": false, "vault_store": {"enabled": true, "type": "aws-secrets-manager", "access_mode": "read_and_write", "aws": {"region": "us-east-1"}}}`, keys...)
}

// While one run stores the secrets of a document, another says so and leaves it
// alone.
func TestStoreTwiceOneDocument(t *testing.T) {
	starts(t)
	f := awstest.StartFake(t)
	dir, release := t.TempDir(), make(chan struct{})
	config := filepath.Join(dir, "config.json")
	write(t, config, twiceConfig("a", "b"))
	f.Hold("CreateSecret", release)
	var wg sync.WaitGroup
	first, said := 0, ""
	wg.Go(func() { first, _, said = process(t, dir, awsEnv(f.URL), append(twiceStore, "config.json")...) })
	waitFor(f, "CreateSecret")
	code, _, stderr := process(t, dir, awsEnv(f.URL), append(twiceStore, "config.json")...)
	if code != exitUnresolved || !strings.Contains(stderr, "another run is storing or pruning the secrets of config.json") {
		t.Errorf("the second run ended with %d: %s", code, stderr)
	}
	close(release)
	wg.Wait()
	if first != exitDone {
		t.Errorf("the first run ended with %d: %s", first, said)
	}
	text, err := os.ReadFile(config)
	if err != nil || strings.Count(string(text), "vault.bifrost/") != 2 {
		t.Errorf("%v: %s", err, text)
	}
}

// What a person writes into the document meanwhile is not lost.
func TestStoreEditedMeanwhile(t *testing.T) {
	starts(t)
	f := awstest.StartFake(t)
	dir, release := t.TempDir(), make(chan struct{})
	config := filepath.Join(dir, "config.json")
	write(t, config, twiceConfig("a"))
	f.Hold("CreateSecret", release)
	var wg sync.WaitGroup
	code, said := 0, ""
	wg.Go(func() { code, _, said = process(t, dir, awsEnv(f.URL), append(twiceStore, "config.json")...) })
	waitFor(f, "CreateSecret")
	edited := twiceConfig("a", "new")
	write(t, config, edited)
	close(release)
	wg.Wait()
	text, err := os.ReadFile(config)
	if err != nil || code != exitUnresolved || string(text) != edited || !strings.Contains(said, "config.json was changed meanwhile") {
		t.Errorf("%v, %d: %s\n%s", err, code, said, text)
	}
}

// waitFor waits for a request of an action.
func waitFor(f *awstest.Fake, action string) {
	for called := f.Called(); f.Calls(action) == 0; called = f.Called() {
		if f.Calls(action) == 0 {
			<-called
		}
	}
}

// Two runs that would store other values under the same names: whichever loses a
// name says so, and no document refers to a value that is not its own.
func TestStoreTwiceOneBackend(t *testing.T) {
	starts(t)
	for range 5 {
		f := awstest.StartFake(t)
		dir := t.TempDir()
		var wg sync.WaitGroup
		codes, said := [2]int{}, [2]string{}
		for i, name := range []string{"one.json", "two.json"} {
			write(t, filepath.Join(dir, name), twiceConfig(name+" a", name+" b", name+" c"))
			wg.Go(func() { codes[i], _, said[i] = process(t, dir, awsEnv(f.URL), append(twiceStore, name)...) })
		}
		wg.Wait()
		for i, name := range []string{"one.json", "two.json"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if codes[i] != exitDone {
				if string(text) != twiceConfig(name+" a", name+" b", name+" c") || !strings.Contains(said[i], "stays as it is") {
					t.Errorf("%s lost, and is %s\n%s", name, text, said[i])
				}
				continue
			}
			// The other may have come later, and then it knew that it changed them.
			if other := said[1-i]; codes[1-i] == exitDone && !strings.Contains(said[i]+other, "3 changed") {
				t.Errorf("both stored, and neither knew of the other: %s%s", said[i], other)
			}
		}
	}
}
