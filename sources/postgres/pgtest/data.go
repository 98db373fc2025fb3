package pgtest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// initialise makes the directory with the data, the certificates and the rules
// of who may connect how.
func (s *Server) initialise(o Options) (err error) {
	if s.dir, err = os.MkdirTemp(place(), "pgtest"); err != nil {
		return err
	}
	s.DataDir, s.CAFile = filepath.Join(s.dir, "data"), filepath.Join(s.dir, "ca.pem")
	if err := s.findUser(); err != nil {
		return err
	}
	if err := s.makeData(); err != nil {
		return err
	}
	// A role in the group tls_only is let in over TLS alone.
	rules := "hostnossl all +tls_only all reject\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
	if err := s.write(filepath.Join(s.DataDir, "pg_hba.conf"), rules); err != nil {
		return err
	}
	if o.NoTLS {
		return nil
	}
	s.config = append(s.config, "ssl=on", "ssl_cert_file="+filepath.Join(s.dir, "server.pem"), "ssl_key_file="+filepath.Join(s.dir, "server.key"))
	return s.certify(o.Expired)
}

// memory is a file system without a disk on Linux, or is not there.
const memory = "/dev/shm"

// place returns the directory for those of servers: an empty database is 300 files,
// and making and deleting them costs a tenth in memory. It is "", for the usual one,
// where memory has no room for the servers of a whole run.
func place() string {
	const tmpfs, enough = 0x01021994, 1 << 30
	var fs syscall.Statfs_t
	if syscall.Statfs(memory, &fs) != nil || fs.Type != tmpfs || uint64(fs.Bavail)*uint64(fs.Bsize) < enough {
		return ""
	}
	probe, err := os.CreateTemp(memory, "pgtest")
	if err != nil {
		return ""
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return memory
}

// makeData makes DataDir and Password: unpacked from what an earlier server was
// made of, in this run or another, or by initdb.
func (s *Server) makeData() error {
	password := filepath.Join(s.dir, "password")
	initdb := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.DataDir, "--pwfile="+password,
		"-U", Superuser, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions")
	made := s.template(initdb.Args[4:])
	if plain, err := s.unpack(made, password); err == nil {
		s.Password = plain
		return nil
	}
	s.Password = `pg test 'quoted' "twice" back\slash =%# ` + rand.Text()[:8]
	if err := s.write(password, verifier(s.Password)+"\n"); err != nil {
		return err
	}
	s.run(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", initdb.Path, err, out)
	}
	if err := s.write(password, s.Password); err != nil {
		return err
	}
	_ = s.pack(made) // without it, the next server takes longer
	return nil
}

// template returns the path of an archive of what initdb makes with args, or "":
// it is in .cache, and readable by the user of the test alone.
func (s *Server) template(args []string) string {
	program, err := os.Stat(filepath.Join(s.bin, "postgres"))
	cache := cacheDir()
	if err != nil || cache == "" {
		return ""
	}
	made := fnv.New64a()
	fmt.Fprint(made, s.bin, program.Size(), program.ModTime(), args)
	return filepath.Join(cache, "pgtest", fmt.Sprintf("%x.tar", made.Sum64()))
}

// cacheDir returns the directory .cache at the root of the module, or "".
func cacheDir() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache")
		}
	}
	return ""
}

// unpack makes the data of an archive, and returns the password in it.
func (s *Server) unpack(archive, password string) (string, error) {
	from, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer from.Close()
	tar := exec.Command("tar", "-xf", "-")
	tar.Stdin = from
	s.run(tar)
	if err := tar.Run(); err != nil {
		_ = os.RemoveAll(s.DataDir)
		return "", err
	}
	plain, err := os.ReadFile(password)
	return string(plain), err
}

// pack keeps the data and the password for the servers to come.
func (s *Server) pack(archive string) error {
	if err := os.MkdirAll(filepath.Dir(archive), 0o777); err != nil {
		return err
	}
	to, err := os.CreateTemp(filepath.Dir(archive), "new")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	tar := exec.Command("tar", "-cf", "-", "data", "password")
	tar.Stdout = to
	s.run(tar)
	if err := errors.Join(tar.Run(), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), archive)
}

// verifier returns what PostgreSQL keeps of a password, with one round and not with
// 4,096, which each connection of a test would count again. What is not ASCII
// PostgreSQL has to prepare itself.
func verifier(password string) string {
	if strings.ContainsFunc(password, func(r rune) bool { return r > '~' }) {
		return password
	}
	salt := []byte(rand.Text())
	salted, err := pbkdf2.Key(sha256.New, password, salt, 1, sha256.Size)
	if err != nil {
		panic(err)
	}
	key := func(of string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(of))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(key("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$1:%s$%s:%s", text(salt), text(stored[:]), text(key("Server Key")))
}

// findUser says who PostgreSQL is to run as: it refuses to be root.
func (s *Server) findUser() error {
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.caller = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s.own(s.dir)
}

// own returns path to the user that PostgreSQL runs as.
func (s *Server) own(path string) error {
	if s.caller == nil {
		return nil
	}
	return os.Chown(path, int(s.caller.Uid), int(s.caller.Gid))
}

func (s *Server) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return s.own(path)
}

// run makes cmd run as that user, and away from the signals of a terminal.
func (s *Server) run(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "LD_LIBRARY_PATH=" + filepath.Join(s.bin, "..", "lib")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.caller, Setpgid: true}
}
