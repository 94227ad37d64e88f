// Command cgisession gives CGI scripts in any language a server-side session.
package main

import (
	"os"

	"cgisession/cmd"
	_ "cgisession/cmd/bigstack"
)

func main() { os.Exit(cmd.Run(os.Args)) }
