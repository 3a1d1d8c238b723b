process PHYLOTOOLS_FINALISE {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.galaxyproject.org/singularity/phylotools:0.1.0--pyhdfd78af_0':
        'biocontainers/phylotools:0.1.0--pyhdfd78af_0' }"

    input:
    tuple val(meta), val(verb), path(work), path(pieces, stageAs: 'pieces/*')

    output:
    tuple val(meta), path("${prefix}.{vcf.gz,tracks}"), emit: output
    tuple val(meta), path("${prefix}.vcf.gz.tbi")     , emit: tbi, optional: true
    tuple val(meta), path("${prefix}.${verb}.json")   , emit: summary
    path "versions.yml"                               , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args   = task.ext.args ?: ''
    prefix     = task.ext.prefix ?: "${meta.id}"
    def suffix = verb == 'tracks' ? 'tracks' : 'vcf.gz'
    """
    cp -RL $work joined
    mkdir -p joined/pieces
    ln -s "\$PWD"/pieces/* joined/pieces/
    phylotools ${verb}-finalise \\
        joined \\
        -o ${prefix}.${suffix} \\
        -@ $task.cpus \\
        --summary-json ${prefix}.${verb}.json \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix     = task.ext.prefix ?: "${meta.id}"
    def suffix = verb == 'tracks' ? 'tracks' : 'vcf.gz'
    """
    [ $verb = tracks ] && mkdir ${prefix}.${suffix} || echo "" | gzip > ${prefix}.${suffix}
    echo '{}' > ${prefix}.${verb}.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """
}
