//go:build unix

package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/watch/bifrost/bifrosttest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// firstVersion is that of the secret that every section begins with.
const firstVersion = "11111111-1111-1111-1111-111111111111"

// Every section of docs/troubleshooting.md is a story of its own: its commands are
// run, one after the other, in a directory with its files, and print what the page
// says. One that ends in & goes on beside the others, and logs the lines shown.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	moto := awstest.Moto(t)
	sections := strings.Split(string(page), "\n## ")
	if len(sections) != 6 {
		t.Errorf("the page has %d sections", len(sections)-1)
	}
	for _, section := range sections[1:] {
		title, _, _ := strings.Cut(section, "\n")
		t.Run(title, func(t *testing.T) {
			moto.Reset(t)
			s := newStory(t, moto)
			n := 0
			for _, m := range docBlocks.FindAllStringSubmatch(sections[0]+section, -1) {
				if m[1] != "" {
					s.write(filepath.Join(s.dir, m[1]), m[3])
					continue
				}
				for _, one := range strings.Split("\n"+m[3], "\n$ ")[1:] {
					command, want, _ := strings.Cut(strings.TrimSuffix(one, "\n"), "\n")
					s.does(command, want)
					n++
				}
			}
			if n == 0 {
				t.Error("there is no command")
			}
		})
	}
}

// troubled is one section.
type troubled struct {
	*harness
	client  *secretsmanager.Client
	bifrost *bifrosttest.Server
	behind  *running
}

func newStory(t *testing.T, moto *awstest.Server) *troubled {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &troubled{harness: newHarness(t), client: moto.Client(awstest.Region, ""), bifrost: bifrosttest.New(t, "1.4.19")}
	s.dir = dir
	for name, value := range moto.Env() {
		s.env = append(s.env, name+"="+value)
	}
	u, err := url.Parse(s.bifrost.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "AWS_MAX_ATTEMPTS=1", "APP_PORT="+u.Port())
	for name, value := range map[string]string{"bifrost/openai": `{"primary":"sk-old-0000000001"}`, "bifrost/team": "sk-bf-old-00000001", "bifrost/anthropic": "sk-ant-0000000001"} {
		in := &secretsmanager.CreateSecretInput{Name: aws.String(name), SecretString: aws.String(value)}
		if name == "bifrost/openai" {
			in.ClientRequestToken = aws.String(firstVersion)
		}
		if _, err := s.client.CreateSecret(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// does runs one command of the page.
func (s *troubled) does(command, want string) {
	s.t.Helper()
	switch {
	case command == "/app/docker-entrypoint.sh &": // Bifrost starts
		content, err := os.ReadFile(filepath.Join(s.dir, "config.json"))
		if err == nil {
			err = s.bifrost.Start(content)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.shows(want)
	case strings.HasSuffix(command, " &"):
		args := strings.Fields(strings.TrimSuffix(command, " &"))
		s.behind = s.start(args[1:]...)
		s.shows(want)
	case strings.HasPrefix(command, "aws secretsmanager "):
		if want != "" {
			s.t.Errorf("%s is shown with an output", command)
		}
		s.aws(command)
	default:
		// How often is chance, since the pauses are.
		got := regexp.MustCompile(`(?m)^.*"the start is tried again","tries":([2-9]|\d\d).*\n`).ReplaceAllString(s.prints(command), "")
		if !pattern(want).MatchString(strings.TrimSpace(got)) {
			s.t.Errorf("the page says that %s prints\n%s\nbut it prints\n%s", command, want, got)
		}
	}
}

// shows waits for the lines of the log.
func (s *troubled) shows(want string) {
	s.t.Helper()
	for line := range strings.Lines(want) {
		like := pattern(strings.TrimSpace(line))
		for {
			got := s.behind.logs("")
			if like.MatchString(got) {
				break
			}
			s.t.Logf("passed over: %s", got)
		}
	}
}

func (s *troubled) prints(command string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	return shown(s.t, cmd)
}

// aws does what the AWS CLI would.
func (s *troubled) aws(command string) {
	s.t.Helper()
	out, err := exec.Command("sh", "-c", "printf '%s\\n' "+command).Output() // the shell takes the quotes away
	if err != nil {
		s.t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	flags := map[string]*string{}
	for i := 3; i+1 < len(words); i += 2 {
		flags[words[i]] = aws.String(words[i+1])
	}
	switch action := words[2]; action {
	case "put-secret-value":
		in := &secretsmanager.PutSecretValueInput{SecretId: flags["--secret-id"], SecretString: flags["--secret-string"], ClientRequestToken: flags["--client-request-token"]}
		if stage := flags["--version-stages"]; stage != nil {
			in.VersionStages = []string{*stage}
		}
		_, err = s.client.PutSecretValue(s.t.Context(), in)
	case "update-secret-version-stage":
		_, err = s.client.UpdateSecretVersionStage(s.t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: flags["--secret-id"], VersionStage: flags["--version-stage"],
			MoveToVersionId: flags["--move-to-version-id"], RemoveFromVersionId: flags["--remove-from-version-id"],
		})
		if err == nil {
			err = s.follow(flags["--secret-id"], flags["--move-to-version-id"])
		}
	default:
		s.t.Fatalf("the page has aws secretsmanager %s", action)
	}
	if err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
}

// follow makes moto answer with the version that has the label AWSCURRENT, which
// it moves and does not look at.
func (s *troubled) follow(secret, version *string) error {
	v, err := s.client.GetSecretValue(s.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: secret, VersionId: version})
	if err == nil {
		_, err = s.client.PutSecretValue(s.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: secret, SecretString: v.SecretString, ClientRequestToken: version})
	}
	return err
}
