package pgtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// PgBouncer starts a PgBouncer in front of the database, which signs in as role with
// password whoever comes, and returns its port on 127.0.0.1. mode is its pool_mode.
// Where there is none the test is skipped, or fails if [requireBackends] is set.
func (d *Database) PgBouncer(tb testing.TB, mode, role, password string) uint16 {
	tb.Helper()
	program, libraries := findPgBouncer()
	if program == "" {
		const missing = "PgBouncer NOT FOUND: nothing here is tested behind it; apt-get install pgbouncer, or run testdata/setup.sh"
		if os.Getenv(requireBackends) != "" && runtime.GOOS == "linux" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	port, release, err := keptPort()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	settings := filepath.Join(d.Server.dir, fmt.Sprintf("pgbouncer-%d.ini", port))
	if err := d.Server.write(settings, fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 20
server_tls_sslmode = prefer
ignore_startup_parameters = extra_float_digits
`, d.Name, d.Server.Host, d.Server.Port, role, password, port, mode)); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(program, settings)
	d.Server.run(cmd)
	if libraries != "" {
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
	}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for late := time.After(callLimit); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
			return port
		}
		select {
		case <-ended:
			tb.Fatalf("PgBouncer has ended:\n%s", log.String())
		case <-late:
			_ = cmd.Process.Kill()
			<-ended
			tb.Fatalf("PgBouncer does not listen:\n%s", log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// findPgBouncer finds the program on the PATH, or where testdata/setup.sh puts it,
// with the folder of its libraries.
func findPgBouncer() (program, libraries string) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, ""
	}
	if _, err := os.Stat("/usr/sbin/pgbouncer"); err == nil {
		return "/usr/sbin/pgbouncer", ""
	}
	root := filepath.Join(cacheDir(), "pgbouncer")
	program = filepath.Join(root, "pgbouncer")
	if _, err := os.Stat(program); err != nil {
		return "", ""
	}
	return program, filepath.Join(root, "lib")
}
