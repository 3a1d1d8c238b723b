process PHYLOTOOLS_ANNOTATE {
    tag "$meta.id"
    label 'process_high'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.galaxyproject.org/singularity/phylotools:0.1.0--pyhdfd78af_0':
        'biocontainers/phylotools:0.1.0--pyhdfd78af_0' }"

    input:
    tuple val(meta), path(variants)
    path model
    path fasta

    output:
    tuple val(meta), path("${prefix}.vcf.gz")       , emit: vcf
    tuple val(meta), path("${prefix}.vcf.gz.tbi")   , emit: tbi, optional: true
    tuple val(meta), path("${prefix}.annotate.json"), emit: summary
    path "versions.yml"                             , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args      = task.ext.args ?: ''
    prefix        = task.ext.prefix ?: "${meta.id}"
    def model_arg = model ? "-m ${model}" : ''
    def fasta_arg = fasta ? "-f ${fasta}" : ''
    if ("$variants" == "${prefix}.vcf.gz") error "Input and output names are the same, set prefix in module configuration to disambiguate!"
    """
    phylotools annotate \\
        $variants \\
        $model_arg \\
        $fasta_arg \\
        -o ${prefix}.vcf.gz \\
        -@ $task.cpus \\
        --summary-json ${prefix}.annotate.json \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "" | gzip > ${prefix}.vcf.gz
    touch ${prefix}.vcf.gz.tbi
    echo '{}' > ${prefix}.annotate.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """
}
