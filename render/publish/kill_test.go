//go:build unix

package publish

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() {
	// race PATH LETTER: one of several that publish at once.
	children["race"] = func(args []string) {
		for range 40 {
			target, err := Check(args[0], nil, Options{})
			if err == nil {
				_, err = target.Write(letters(args[1]))
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	// loop PATH: publish for ever; a byte on standard output says it began.
	children["loop"] = func(args []string) {
		both := [][]byte{letters("A"), letters("B")}
		for i := 0; ; i++ {
			target, err := Check(args[0], nil, Options{})
			if err == nil {
				_, err = target.Write(both[i%2])
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			if i == 0 {
				fmt.Print("b")
			}
		}
	}
}

func letters(s string) []byte { return []byte(strings.Repeat(s, 300_000)) }

func TestConcurrent(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	write(t, check(t, path, Options{}), string(letters("A")))
	var wg sync.WaitGroup
	for _, letter := range []string{"A", "B"} {
		wg.Go(func() {
			if out, err := child(t, "race", path, letter).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for _, letter := range []string{"C", "D"} {
		wg.Go(func() {
			for range 40 {
				target, err := Check(path, nil, Options{})
				if err == nil {
					_, err = target.Write(letters(letter))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	t.Cleanup(func() { <-done }) // also when a read below fails
	for reads := 0; ; reads++ {
		select {
		case <-done:
			t.Logf("%d reads meanwhile", reads)
			wantNames(t, dir, "config.json")
			return
		default:
			wantWhole(t, path, "A", "B", "C", "D")
		}
	}
}

// wantWhole sees that the file is the letters of one of the publishings.
func wantWhole(t testing.TB, path string, of ...string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	for _, letter := range of {
		if string(got) == string(letters(letter)) {
			return
		}
	}
	t.Fatalf("%s is none of %v: %d bytes", path, of, len(got))
}

// Two hundred processes are killed at moments nobody chose.
func TestKilledAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	for lane := range 2 {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			path := filepath.Join(dir, "config.json")
			rng := rand.New(rand.NewPCG(1, uint64(lane)))
			kills, leftovers := 0, 0
			for ; kills < 100; kills++ {
				cmd := child(t, "loop", path)
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				var began [1]byte
				if _, err := out.Read(began[:]); err != nil || began[0] != 'b' {
					t.Fatalf("the child did not begin: %v", err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				select {
				case <-time.After(time.Duration(rng.IntN(8000)) * time.Microsecond):
				case err := <-ended:
					t.Fatalf("the child ended by itself: %v", err)
				}
				must(t, cmd.Process.Kill())
				if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("the child was not killed: %v", err)
				}
				wantWhole(t, path, "A", "B")
				wantMode(t, path, 0o600)
				entries, err := os.ReadDir(dir)
				must(t, err)
				for _, e := range entries {
					info, err := e.Info()
					must(t, err)
					if info.Mode()&^0o600 != 0 {
						t.Errorf("%s has mode %v", e.Name(), info.Mode())
					}
				}
				if len(entries) > 2 {
					t.Errorf("leftovers gather: %d entries", len(entries))
				}
				leftovers += len(entries) - 1
			}
			t.Logf("%d of %d kills left a temporary file", leftovers, kills)
			write(t, check(t, path, Options{}), "S3CRET")
			wantNames(t, dir, "config.json")
		})
	}
}
