// The port: how backprop-check talks to the network in network.go.
//
// A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
// There is no mathematics here. Keep this file, and put your own network behind backprop.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// main answers until stdin ends.
func main() {
	in := bufio.NewReader(os.Stdin) // not a bufio.Scanner, which gives up on lines of more than 64 KiB
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			os.Stdout.Write(append(toJSON(answer(line)), '\n')) // os.Stdout has no buffer that needs flushing
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// answer gives the reply to one request.
func answer(line []byte) (reply any) {
	var request struct {
		Type string
		ID   string
		Echo Numbers
	}

	// One case that fails must not end the others: say what happened, and go on.
	defer func() {
		if problem := recover(); problem != nil {
			reply = Failure{ID: request.ID, Error: fmt.Sprint(problem), Traceback: string(debug.Stack())}
		}
	}()
	if err := json.Unmarshal(line, &request); err != nil {
		return Failure{ID: request.ID, Error: err.Error()}
	}

	switch request.Type {
	case "hello":
		return hello(request.Echo)
	case "case":
		var given CaseRequest
		if err := json.Unmarshal(line, &given); err != nil {
			return Failure{ID: request.ID, Error: err.Error()}
		}
		reply, err := backprop(given)
		var missing NotThereYet
		if errors.As(err, &missing) {
			return Skip{ID: request.ID, Skip: missing.Error()}
		}
		if err != nil {
			return Failure{ID: request.ID, Error: err.Error()}
		}
		return reply
	case "":
		return Failure{ID: request.ID, Error: "a request has a type"}
	default:
		return Skip{ID: request.ID, Skip: fmt.Sprintf("the request %s is not there yet", request.Type)}
	}
}

// hello says who we are and what we can do. What is not listed under Supports is never asked for.
func hello(echo Numbers) HelloReply {
	return HelloReply{
		Protocol:    1,
		Name:        "vanilla-go",
		Language:    "Go " + strings.TrimPrefix(runtime.Version(), "go"),
		Version:     "0.1.0",
		Dtype:       "float64",
		MaxInFlight: 16,
		Supports: Supports{
			Layers:      []string{"dense"},
			Activations: names(activations),
			Losses:      names(losses),
			Optimizers:  []string{"sgd"},
			Batch:       true,
		},
		Echo: echo, // shows that no digit is lost on the way in and out
	}
}

func toJSON(reply any) []byte {
	text, err := json.Marshal(reply)
	if err != nil {
		panic(err) // no reply of ours has anything that JSON cannot say
	}
	return text
}
