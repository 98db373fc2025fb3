package main

import (
	"bifrost-secrets/render"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

type output struct{ service.Output }

func (o *output) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.Out, "out", "o", "", "the `file` to write; it is replaced atomically")
	f.StringVar(&o.EnvFile, "env-file", "", "with --mode env: the `file` to write the values to")
	f.StringVar(&o.EnvFormat, "env-format", string(render.DockerEnv), "of the env file: docker, compose, systemd or shell")
	complete(cmd, "env-format", "docker", "compose", "systemd", "shell")
	o.permissionFlags(cmd)
}

func (o *output) permissionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.FileMode, "file-mode", "600", "permissions of what is written, in octal")
	o.ownerFlag(cmd)
}

func (o *output) ownerFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Owner, "owner", "", "`user[:group]` to give what is written to")
}
