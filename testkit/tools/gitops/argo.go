package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

type healthTests struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus health `json:"healthStatus"`
	} `json:"tests"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string   `json:"inputPath"`
		Result    []action `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

type action struct {
	Name     string `json:"name"`
	Disabled bool   `json:"disabled"`
}

// ArgoTests runs what Argo CD's own tests run for a directory of resource_customizations. It is stricter in one
// thing: an action that the test does not list is wrong, and so is a listed one that is not there.
func argoTests(dir string) error {
	var wrong []error
	ran := 0
	check := func(name string, err error) {
		ran++
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
		}
	}
	var healths healthTests
	if err := readYAML(filepath.Join(dir, "health_test.yaml"), &healths); err != nil {
		return err
	}
	for _, test := range healths.Tests {
		check(test.InputPath, testHealth(dir, test.InputPath, test.HealthStatus))
	}
	dir = filepath.Join(dir, "actions")
	var actions actionTests
	if err := readYAML(filepath.Join(dir, "action_test.yaml"), &actions); err != nil {
		return err
	}
	for _, test := range actions.DiscoveryTests {
		check("discovery/"+test.InputPath, testDiscovery(dir, test.InputPath, test.Result))
	}
	for _, test := range actions.ActionTests {
		check(test.Action+"/"+test.InputPath, testAction(dir, test.Action, test.InputPath, test.ExpectedOutputPath))
	}
	fmt.Println(ran)
	return errors.Join(wrong...)
}

func testHealth(dir, input string, expected health) error {
	var object map[string]any
	if err := readYAML(filepath.Join(dir, input), &object); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(dir, "health.lua"))
	if err != nil {
		return err
	}
	said, err := healthOf(object, string(script), time.Now())
	if err == nil && *said != expected {
		err = fmt.Errorf("expected %+v, but it is %+v", expected, *said)
	}
	return err
}

func testDiscovery(dir, input string, expected []action) error {
	returned, err := runFile(dir, "discovery.lua", input)
	if err != nil {
		return err
	}
	var found map[string]action
	if err := json.Unmarshal(returned, &found); err != nil {
		return err
	}
	wanted := map[string]action{}
	for _, action := range expected {
		wanted[action.Name] = action
	}
	for name, action := range found {
		action.Name = name
		found[name] = action
	}
	if !reflect.DeepEqual(found, wanted) {
		return fmt.Errorf("expected %v, but it is %v", wanted, found)
	}
	return nil
}

func testAction(dir, name, input, output string) error {
	var expected map[string]any
	if err := readYAML(filepath.Join(dir, output), &expected); err != nil {
		return err
	}
	returned, err := runFile(dir, filepath.Join(name, "action.lua"), input)
	if err != nil {
		return err
	}
	var result map[string]any
	if err := json.Unmarshal(returned, &result); err != nil {
		return err
	}
	timeless(result)
	if !reflect.DeepEqual(result, expected) {
		return fmt.Errorf("expected %v, but it is %v", expected, result)
	}
	return nil
}

// Timeless sets an annotation that has the current time to what the expected output has.
func timeless(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for name, value := range annotations {
		text, _ := value.(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil && time.Since(at).Abs() < time.Minute {
			annotations[name] = "0001-01-01T00:00:00Z"
		}
	}
}

func runFile(dir, script, input string) ([]byte, error) {
	var object map[string]any
	if err := readYAML(filepath.Join(dir, input), &object); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, script))
	if err != nil {
		return nil, err
	}
	return runLua(object, string(text), time.Now())
}

// ConfigMap holds the scripts of a ConfigMap, which Argo CD reads in place of files, to the files.
func configMap(file, dir string) error {
	var config struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]any    `json:"metadata"`
		Data       map[string]string `json:"data"`
	}
	if err := readYAML(file, &config); err != nil {
		return err
	}
	group, kind := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
	key := func(what string) string { return fmt.Sprintf("resource.customizations.%s.%s_%s", what, group, kind) }
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	if err := yaml.UnmarshalStrict([]byte(config.Data[key("actions")]), &actions); err != nil {
		return err
	}
	scripts := map[string]string{"health.lua": config.Data[key("health")], "actions/discovery.lua": actions.Discovery}
	for _, definition := range actions.Definitions {
		scripts["actions/"+definition.Name+"/action.lua"] = definition.Action
	}
	if len(config.Data) != 2 {
		return fmt.Errorf("%s has %d keys", file, len(config.Data))
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".lua") {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		return err
	}
	for name, text := range files {
		if scripts[name] != text {
			return fmt.Errorf("%s differs from %s", file, name)
		}
	}
	if len(scripts) != len(files) {
		return fmt.Errorf("%s has scripts that are no files", file)
	}
	return nil
}

func readYAML(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
