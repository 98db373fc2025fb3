package render

import (
	"bytes"
	"strings"
)

// EnvFormat is a way to write a file of variables.
type EnvFormat string

// The formats of env files.
const (
	DockerEnv  EnvFormat = "docker"  // docker run --env-file, and Compose's env_file with format: raw; one line a value, as it is
	ComposeEnv EnvFormat = "compose" // Compose's env_file, which strips quotes and expands $
	SystemdEnv EnvFormat = "systemd" // EnvironmentFile=: double quotes, with escapes
	ShellEnv   EnvFormat = "shell"   // a file to be read with `.` by a POSIX shell: single quotes, export
)

// EnvFormats are all the formats.
var EnvFormats = []EnvFormat{DockerEnv, ComposeEnv, SystemdEnv, ShellEnv}

// EnvFile writes the variables of env mode in a format. A value that the format
// cannot carry is an error, of type *Problems, that names the field.
func (r *Rendering) EnvFile(format EnvFormat) ([]byte, error) {
	vars, err := r.Environment()
	if err != nil {
		return nil, err
	}
	problems := Problems{Document: r.Plan.Document.Name}
	var b bytes.Buffer
	for _, v := range vars {
		value := v.Value.Reveal()
		if reason := format.refuses(v.Name, value); reason != "" {
			problems.add(r.cannotCarry(v.Name, reason))
			continue
		}
		b.WriteString(format.line(v.Name, string(value)))
	}
	return b.Bytes(), problems.orNil()
}

// line writes a variable.
func (format EnvFormat) line(name, value string) string {
	w := envWritings[format]
	return w.before + name + "=" + w.quote + w.escapes.Replace(value) + w.quote + "\n"
}

// dockerLine is the longest line, in bytes, that docker reads from an env file.
const dockerLine = 64<<10 - 1

// refuses says why the format cannot carry a value, and nothing if it can.
func (format EnvFormat) refuses(name string, value []byte) string {
	switch format {
	case DockerEnv:
		if bytes.ContainsAny(value, "\r\n") {
			return "the value has a line break in it, which the docker format cannot carry"
		}
		if len(name)+1+len(value) > dockerLine {
			return "the value is longer than a line of the docker format may be"
		}
	case SystemdEnv: // env_value_is_valid() of systemd
		for _, c := range value {
			if c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
				return "the value has a control character in it, which systemd refuses in a variable"
			}
		}
	}
	return ""
}

// envWritings are how a format writes a value: inside quotes, with escapes for what
// has a meaning there.
var envWritings = map[EnvFormat]struct {
	before, quote string
	escapes       *strings.Replacer
}{
	DockerEnv: {"", "", strings.NewReplacer()},
	// In Compose single quotes have no way to write a backslash at the end.
	ComposeEnv: {"", `"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`)},
	// systemd.exec(5), EnvironmentFile=. A line break stands for itself.
	SystemdEnv: {"", `"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)},
	ShellEnv:   {"export ", "'", strings.NewReplacer("'", `'\''`)},
}

func (r *Rendering) cannotCarry(name, reason string) Problem {
	one := Problem{Reason: reason, Hint: "use another --env-format, or --mode inline"}
	for e := range r.Plan.resolved {
		if e.byEnv && EnvName(r.Plan.wants[e.want].ref) == name {
			one.Reference = r.Plan.wants[e.want].ref.Shown()
			one.Places = append(one.Places, placeOf(r.Plan.Document, e.path, e.start, e.end))
		}
	}
	return one
}
