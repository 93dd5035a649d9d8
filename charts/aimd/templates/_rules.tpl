{{/* Permissions on aimd's own kinds: aimd reads `all` and patches their status; it also creates, patches and deletes `made`. */}}
{{- define "aimd.rules.own" -}}
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- toYaml .all | nindent 4 }}
  verbs: [get, list, watch]
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- range .all }}
    - {{ . }}/status
    {{- end }}
  verbs: [patch]
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- toYaml .made | nindent 4 }}
  verbs: [create, delete, patch]
{{- end }}

{{/* Permissions on namespaced objects. */}}
{{- define "aimd.rules.namespaced" -}}
{{- $made := list "aimartifacts" "aimmodels" "aimservicetemplates" "aimtemplatecaches" -}}
{{ include "aimd.rules.own" (dict "all" (concat $made (list "aimruntimeconfigs" "aimservices")) "made" $made) }}
# To set and remove the finalizer of services.
- apiGroups: [aim.eai.amd.com]
  resources: [aimservices]
  verbs: [patch]
# aimd writes the Role with which a download job reports progress, and Kubernetes lets it grant only permissions it has.
- apiGroups: [aim.eai.amd.com]
  resources: [aimartifacts/status]
  verbs: [get]
# The children of services and artifacts. If the admission plugin OwnerReferencesPermissionEnforcement is enabled, writing
# the owner references of an object requires the permission to delete it.
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [create, delete, get, list, patch, watch]
# Each download has its own identity, which may only patch the status of its artifact.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, delete, get, list, patch, watch]
# Read only: the health of pods and the state of autoscalers.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
# To detect KEDA, and to delete the ScaledObject that KServe leaves behind when a service stops autoscaling.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [delete, list, watch]
# aimd reads pull secrets and credentials by name when it needs them. It never lists, watches or keeps them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# aimd writes Events about its own objects, and reads those about pods and InferenceServices.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, patch, watch]
{{- end }}

{{/* Permissions on cluster-scoped objects. */}}
{{- define "aimd.rules.cluster" -}}
{{- $made := list "aimclustermodels" "aimclusterservicetemplates" -}}
{{ include "aimd.rules.own" (dict "all" (concat $made (list "aimclustermodelsources" "aimclusterruntimeconfigs")) "made" $made) }}
# The GPUs of nodes, the storage classes that can expand volumes, and namespaces that are being deleted.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# The networks of Services, where image registries are never contacted.
- apiGroups: [networking.k8s.io]
  resources: [servicecidrs]
  verbs: [list]
{{- end }}
