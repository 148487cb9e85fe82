{{- define "aftershock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "aftershock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "aftershock.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "aftershock.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* app.kubernetes.io/name is always aftershock: by this label the service knows its own pods and never touches them. */}}
{{- define "aftershock.selectorLabels" -}}
app.kubernetes.io/name: aftershock
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "aftershock.labels" -}}
{{ include "aftershock.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "aftershock.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "aftershock.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "aftershock.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: needed with serviceAccount.create=false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "aftershock.secret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "aftershock.fullname" .)) -}}
{{- end }}

{{/* "yes" where there is more than one replica. */}}
{{- define "aftershock.replicated" -}}
{{- if gt (int .Values.replicas) 1 -}}
yes
{{- end -}}
{{- end }}

{{/* "yes" where results are kept on a volume. */}}
{{- define "aftershock.volume" -}}
{{- if and .Values.storage.enabled (not .Values.storage.postgres.existingSecret) -}}
yes
{{- end -}}
{{- end }}

{{- define "aftershock.claim" -}}
{{- .Values.storage.existingClaim | default (include "aftershock.fullname" .) -}}
{{- end }}

{{- define "aftershock.targetNamespace" -}}
{{- $given := dig "deployment" "target" "namespace" "" .Values.config -}}
{{- $namespace := $given | default .Values.targetNamespace | default .Release.Namespace -}}
{{- if has $namespace (.Files.Get "generated/rights.yaml" | fromYaml).forbiddenNamespaces -}}
{{- fail (printf "targetNamespace: %s holds the cluster itself and is never touched; name the deployment's namespace" $namespace) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $namespace) -}}
{{- fail (printf "targetNamespace: %q is no namespace's name; lower-case letters, digits and hyphens, at most 63" $namespace) -}}
{{- end -}}
{{- $namespace -}}
{{- end }}

{{/* The kinds that may run, as JSON: without a list of one's own, every kind that needs no right beyond a namespace. */}}
{{- define "aftershock.kinds" -}}
{{- $table := .Files.Get "generated/rights.yaml" | fromYaml -}}
{{- $known := $table.kinds -}}
{{- $wanted := dig "guard" "allowed_kinds" nil .Values.config -}}
{{- if kindIs "slice" $wanted -}}
{{- range $wanted -}}
{{- if not (hasKey $known .) -}}
{{- fail (printf "config.guard.allowed_kinds: there is no kind %q; there is %s" . (keys $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- $wanted | uniq | sortAlpha | toJson -}}
{{- else -}}
{{- $narrow := list -}}
{{- range keys $known | sortAlpha -}}
{{- if not (hasKey $table.clusterKinds .) -}}
{{- $narrow = append $narrow . -}}
{{- end -}}
{{- end -}}
{{- toJson $narrow -}}
{{- end -}}
{{- end }}

{{/* The rights of those kinds in the target namespace, one rule for each resource. */}}
{{- define "aftershock.rules" -}}
{{- $table := .Files.Get "generated/rights.yaml" | fromYaml -}}
{{- $config := include "aftershock.config" . | fromYaml -}}
{{- $needed := list -}}
{{- range $kind := include "aftershock.kinds" . | fromJsonArray -}}
{{- $needed = concat $needed (get $table.kinds $kind) -}}
{{- end -}}
{{- if and $needed $config.deployment.target.graph_deployment -}}
{{- $needed = concat $needed $table.graphDeployment -}}
{{- end -}}
{{- include "aftershock.asRules" $needed -}}
{{- end }}

{{/* The rights of those kinds on what belongs to no namespace; nothing, unless one of them needs any. */}}
{{- define "aftershock.clusterRules" -}}
{{- $table := .Files.Get "generated/rights.yaml" | fromYaml -}}
{{- $needed := list -}}
{{- range $kind := include "aftershock.kinds" . | fromJsonArray -}}
{{- $needed = concat $needed (get $table.clusterKinds $kind | default list) -}}
{{- end -}}
{{- include "aftershock.asRules" $needed -}}
{{- end }}

{{- define "aftershock.asRules" -}}
{{- $verbs := dict -}}
{{- range . -}}
{{- $key := printf "%s|%s" .group .resource -}}
{{- $_ := set $verbs $key (append (get $verbs $key | default list) .verb | uniq | sortAlpha) -}}
{{- end -}}
{{- range $key := keys $verbs | sortAlpha }}
- apiGroups: [{{ (splitList "|" $key) | first | quote }}]
  resources: [{{ (splitList "|" $key) | last | quote }}]
  verbs: [{{ get $verbs $key | join ", " }}]
{{- end -}}
{{- end }}

{{/* The service's configuration: what was given, with what the chart knows better or by itself. */}}
{{- define "aftershock.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $deployment := deepCopy (get $config "deployment" | default dict) -}}
{{- $endpoint := deepCopy (get $deployment "endpoint" | default dict) -}}
{{- $target := deepCopy (get $deployment "target" | default dict) -}}
{{- if not $endpoint.url -}}
{{- $_ := set $endpoint "url" (required "endpoint: say where the deployment's OpenAI-compatible API is, such as --set endpoint=http://frontend.dynamo:8000" .Values.endpoint) -}}
{{- end -}}
{{- if not (regexMatch "(?i)^https?://[^/\\s]" $endpoint.url) -}}
{{- fail (printf "endpoint: %q is not an address; http:// or https:// and a host, such as http://frontend.dynamo:8000" $endpoint.url) -}}
{{- end -}}
{{- if regexMatch "/v1/?$" $endpoint.url -}}
{{- fail (printf "endpoint: %q must be without /v1, which every request adds" $endpoint.url) -}}
{{- end -}}
{{- if and .Values.model (not $endpoint.model) -}}
{{- $_ := set $endpoint "model" .Values.model -}}
{{- end -}}
{{- if and .Values.deployment (not $target.graph_deployment) -}}
{{- $_ := set $target "graph_deployment" .Values.deployment -}}
{{- end -}}
{{- if not (or $target.graph_deployment $target.components) -}}
{{- fail "deployment: name the DynamoGraphDeployment that faults may touch, such as --set deployment=NAME (or give config.deployment.target.components)" -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" ($target.graph_deployment | default "none")) -}}
{{- fail (printf "deployment: %q is no object's name; lower-case letters, digits, hyphens and dots, at most 253" $target.graph_deployment) -}}
{{- end -}}
{{- $_ := set $target "kind" "kubernetes" -}}
{{- $_ := set $target "namespace" (include "aftershock.targetNamespace" .) -}}
{{- if and (not $deployment.name) $target.graph_deployment -}}
{{- if regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" $target.graph_deployment -}}
{{- $_ := set $deployment "name" $target.graph_deployment -}}
{{- end -}}
{{- end -}}
{{- $_ := set $deployment "endpoint" $endpoint -}}
{{- $_ := set $deployment "target" $target -}}
{{- $_ := set $config "deployment" $deployment -}}
{{- if not $config.probes -}}
{{- $_ := set $config "probes" (list (dict "name" "chat")) -}}
{{- end -}}
{{- $guard := deepCopy (get $config "guard" | default dict) -}}
{{- $_ := set $guard "allowed_kinds" (include "aftershock.kinds" . | fromJsonArray) -}}
{{- $_ := set $config "guard" $guard -}}
{{- if and .Values.storage.postgres.existingSecret (dig "store" "url" "" $config) -}}
{{- fail "config.store.url: storage.postgres.existingSecret names a store already; give one of them" -}}
{{- end -}}
{{- if and .Values.storage.postgres.existingSecret .Values.storage.existingClaim -}}
{{- fail "storage.existingClaim: storage.postgres.existingSecret names a store already; give one of them" -}}
{{- end -}}
{{- if include "aftershock.replicated" . -}}
{{- $name := include "aftershock.fullname" . -}}
{{- $leader := merge (dict "enabled" true "lease_name" $name "service" $name) (deepCopy (get $config "leader" | default dict)) -}}
{{- $_ := set $config "leader" $leader -}}
{{- else if dig "leader" "enabled" false $config -}}
{{- fail "config.leader.enabled: is set by replicas; give replicas more than 1" -}}
{{- end -}}
{{- $_ := set $config "data_dir" "/data" -}}
{{- $_ := set $config "probe_dir" "/tmp/probes" -}}
{{- $_ := set $config "api" (dict "listen" "0.0.0.0:8600" "token_env" "AFTERSHOCK_TOKEN") -}}
{{- toYaml $config -}}
{{- end }}

{{/* Ports of the OTLP receiver, as a YAML list of name and port. */}}
{{- define "aftershock.otlpPorts" -}}
{{- $traces := get .Values.config "traces" | default dict -}}
{{- with $traces.grpc_listen }}
- name: otlp-grpc
  port: {{ splitList ":" . | last }}
{{- end }}
{{- with $traces.http_listen }}
- name: otlp-http
  port: {{ splitList ":" . | last }}
{{- end }}
{{- end }}

{{/* The service reverts for at most this long after SIGTERM, and needs a while to flush. */}}
{{- define "aftershock.grace" -}}
{{- add 60 (mul 3 (dig "run" "revert_timeout_seconds" 10 .Values.config | float64 | ceil | int)) -}}
{{- end }}

{{- define "aftershock.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "aftershock.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* How the hook and the test reach the service. */}}
{{- define "aftershock.clientEnv" -}}
- name: AFTERSHOCK_URL
  value: http://$({{ include "aftershock.fullname" . | upper | replace "-" "_" }}_SERVICE_HOST):{{ .Values.service.port }}
- name: AFTERSHOCK_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "aftershock.secret" . }}
      key: {{ .Values.token.key }}
{{- end }}

{{- define "aftershock.clientPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: true
securityContext:
  {{- include "aftershock.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {}
{{- end }}

{{/* Whether an object of the Prometheus operator is wanted: "yes", or "auto" where the cluster knows the kind. */}}
{{- define "aftershock.monitoring" -}}
{{- if or (eq .create "yes") (and (eq .create "auto") (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
yes
{{- end -}}
{{- end }}
