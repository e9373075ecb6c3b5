package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	applicationpkg "github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The formats of upstream's util/lua/health_test.go and custom_actions_test.go.
type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string                 `json:"inputPath"`
		Result    []appv1.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

// vm is as Argo CD runs the scripts of argocd-cm: without Lua's open libraries. Upstream's tests of health checks have
// them on, so a script that needs `string` passes there and fails for users.
var vm = lua.VM{UseOpenLibs: false}

// fixtures runs every health_test.yaml and action_test.yaml below `root`. Where upstream is lenient (a discovery that
// finds too few actions passes there) this is not.
func fixtures(root string) (int, error) {
	ran, failed := 0, 0
	check := func(name string, err error) {
		ran++
		if err != nil {
			failed++
			fmt.Printf("FAILED  %s: %v\n", name, err)
			return
		}
		fmt.Printf("ok      %s\n", name)
	}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		name := strings.TrimPrefix(dir, root+string(filepath.Separator))
		switch filepath.Base(path) {
		case "health.lua":
			var tests healthTests
			if err := readYAML(filepath.Join(dir, "health_test.yaml"), &tests); err != nil {
				return err
			}
			for _, test := range tests.Tests {
				check(name+" "+test.InputPath, healthTest(dir, test.InputPath, test.HealthStatus))
			}
		case "discovery.lua":
			var tests actionTests
			if err := readYAML(filepath.Join(dir, "action_test.yaml"), &tests); err != nil {
				return err
			}
			for _, test := range tests.DiscoveryTests {
				check(name+" discovery "+test.InputPath, discoveryTest(dir, test.InputPath, test.Result))
			}
			for _, test := range tests.ActionTests {
				check(name+" "+test.Action+" "+test.InputPath, actionTest(dir, test.Action, test.InputPath, test.ExpectedOutputPath))
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	fmt.Printf("%d fixtures, %d failed\n", ran, failed)
	if failed > 0 || ran == 0 {
		return 1, nil
	}
	return 0, nil
}

func healthTest(dir, input string, want health.HealthStatus) error {
	object, script, err := objectAndScript(dir, input, "health.lua")
	if err != nil {
		return err
	}
	got, err := vm.ExecuteHealthLua(object, script)
	if err != nil {
		return err
	}
	if *got != want {
		return fmt.Errorf("is %s %q, want %s %q", got.Status, got.Message, want.Status, want.Message)
	}
	return nil
}

func discoveryTest(dir, input string, want []appv1.ResourceAction) error {
	object, script, err := objectAndScript(dir, input, "discovery.lua")
	if err != nil {
		return err
	}
	got, err := vm.ExecuteResourceActionDiscovery(object, []string{script})
	if err != nil {
		return err
	}
	byName := func(a, b appv1.ResourceAction) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(got, byName)
	slices.SortFunc(want, byName)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("finds %v, want %v", got, want)
	}
	return nil
}

func actionTest(dir, action, input, output string) error {
	object, script, err := objectAndScript(dir, input, filepath.Join(action, "action.lua"))
	if err != nil {
		return err
	}
	changed, err := vm.ExecuteResourceAction(object, script, []*applicationpkg.ResourceActionParameters{})
	if err != nil {
		return err
	}
	if len(changed) != 1 || changed[0].K8SOperation != lua.PatchOperation {
		return fmt.Errorf("must change its own object and nothing else")
	}
	want := &unstructured.Unstructured{}
	if err := readYAML(filepath.Join(dir, output), &want.Object); err != nil {
		return err
	}
	// As upstream compares: Lua makes every number a float.
	result, err := diff.Diff(want, changed[0].UnstructuredObj, diff.WithNormalizer(requestTimes{}))
	if err != nil {
		return err
	}
	if result.Modified {
		return fmt.Errorf("gives %s, want %s", result.NormalizedLive, result.PredictedLive)
	}
	return nil
}

// requestTimes takes the time at which an action ran out of both sides, as upstream's testNormalizer does for its kinds.
type requestTimes struct{}

func (requestTimes) Normalize(object *unstructured.Unstructured) error {
	if object == nil {
		return nil
	}
	annotations := object.GetAnnotations()
	for _, name := range []string{"rerun-requested-at", "retry-requested-at"} {
		if annotations["ecs.password-reset.dev/"+name] != "" {
			annotations["ecs.password-reset.dev/"+name] = "0001-01-01T00:00:00Z"
		}
	}
	object.SetAnnotations(annotations)
	return nil
}

func objectAndScript(dir, input, script string) (*unstructured.Unstructured, string, error) {
	object := &unstructured.Unstructured{}
	if err := readYAML(filepath.Join(dir, input), &object.Object); err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, script))
	return object, string(text), err
}

func readYAML(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
