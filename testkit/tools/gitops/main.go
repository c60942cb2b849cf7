// Gitops says of CloudTenants what Flux, Helm and Argo CD say of them, by their own libraries.
//
//	gitops judge HEALTH_LUA HEALTH_CHECK_EXPRS_JSON  answers each line, an object and a time, with the verdicts
//	gitops argo RESOURCE_CUSTOMIZATIONS_DIR          runs health_test.yaml and action_test.yaml as Argo CD does
//	gitops configmap FILE DIR                        holds a ConfigMap's scripts to those in the directory
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "judge":
		return judge(args[1], args[2], os.Stdin, os.Stdout)
	case len(args) == 2 && args[0] == "argo":
		return argoTests(args[1])
	case len(args) == 3 && args[0] == "configmap":
		return configMap(args[1], args[2])
	}
	return errors.New("gitops judge HEALTH_LUA HEALTH_CHECK_EXPRS_JSON | argo DIR | configmap FILE DIR")
}

// Verdicts is what is said of one object.
type verdicts struct {
	Kstatus string `json:"kstatus"`
	Argo    health `json:"argo"`
	Flux    string `json:"flux"`
}

// Question is an object, and the time at which it is judged, in seconds since 1970.
type question struct {
	Object json.RawMessage `json:"object"`
	At     int64           `json:"at"`
}

// Judge answers each line at once, so that a test may go on asking.
func judge(healthLua, expressions string, in io.Reader, out io.Writer) error {
	script, err := os.ReadFile(healthLua)
	if err != nil {
		return err
	}
	var exprs kustomize.HealthCheckExpressions
	if err := json.Unmarshal([]byte(expressions), &exprs); err != nil {
		return err
	}
	evaluator, err := cel.NewStatusEvaluator(&exprs)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		said, err := verdictsOn(line, string(script), evaluator)
		if err != nil {
			return fmt.Errorf("%w, of %s", err, line)
		}
		if err := json.NewEncoder(out).Encode(said); err != nil {
			return err
		}
	}
}

func verdictsOn(line []byte, script string, evaluator *cel.StatusEvaluator) (*verdicts, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return nil, err
	}
	computed, err := status.Compute(&object)
	if err != nil {
		return nil, fmt.Errorf("kstatus: %w", err)
	}
	// As Argo CD reads it.
	var plain map[string]any
	if err := json.Unmarshal(asked.Object, &plain); err != nil {
		return nil, err
	}
	argo, err := healthOf(plain, script, time.Unix(asked.At, 0))
	if err != nil {
		return nil, fmt.Errorf("health.lua: %w", err)
	}
	evaluated, err := evaluator.Evaluate(context.Background(), &object)
	if err != nil {
		return nil, fmt.Errorf("healthCheckExprs: %w", err)
	}
	return &verdicts{Kstatus: computed.Status.String(), Argo: *argo, Flux: evaluated.Status.String()}, nil
}
