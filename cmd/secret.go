package cmd

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/urfave/cli/v2"
)

func secretCommand(c *call) *cli.Command {
	return command("secret", "", "print a fresh line for the key file", nil, func(args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		var key [32]byte
		rand.Read(key[:])
		_, err := fmt.Fprintln(c.stdout, base64.RawURLEncoding.EncodeToString(key[:]))
		return err
	})
}
