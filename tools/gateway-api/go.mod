// Pins the Gateway API's CRD files, which the sandbox reads from the module cache. No Go code of ours.
// Nothing here imports the module, so `go mod tidy` would remove the line: do not run it in this folder.
module aimd/tools/gateway-api

go 1.24.0

require sigs.k8s.io/gateway-api v1.3.0
